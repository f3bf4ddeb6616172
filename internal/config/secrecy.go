package config

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
)

// hidden stands for a password.
const hidden = "xxxxx"

// withoutPasswords is a URL as it may be shown, and any other text as it is. It takes the URL apart by itself and rather
// hides too much: drivers read what net/url doesn't, and a URL that is refused is shown, too.
func withoutPasswords(text string) string {
	scheme, rest, isURL := strings.Cut(text, "://")
	if !isURL {
		return text
	}
	shown := scheme + "://"
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		user, _, hasPassword := strings.Cut(rest[:at], ":")
		shown += user
		if hasPassword {
			shown += ":" + hidden
		}
		shown, rest = shown+"@", rest[at+1:]
	}
	place, query, hasQuery := strings.Cut(rest, "?")
	if !hasQuery {
		return shown + place
	}
	settings := strings.Split(query, "&")
	for i, setting := range settings {
		settings[i] = withoutSecret(setting)
	}
	return shown + place + "?" + strings.Join(settings, "&")
}

// secretWords are in the names of options that hold what nobody is to see, or say where it is: password, sslpassword,
// passfile, client_secret, token.
var secretWords = []string{"pass", "secret", "token"}

// withoutSecret is name=value of a URL's query as it may be shown. What is no such pair may be a part of one.
func withoutSecret(setting string) string {
	name, _, isPair := strings.Cut(setting, "=")
	if !isPair && setting != "" {
		return hidden
	}
	decoded, err := url.QueryUnescape(name)
	for _, word := range secretWords {
		if err != nil || strings.Contains(strings.ToLower(decoded), word) {
			return name + "=" + hidden
		}
	}
	return setting
}

// assign sets a key. Errors quote what they refuse, which may be a URL in a place where none belongs.
func (c *Config) assign(k key, text string) error {
	err := k.set(c, text)
	if err == nil {
		return nil
	}
	return errors.New(strings.ReplaceAll(err.Error(), strconv.Quote(text), strconv.Quote(withoutPasswords(text))))
}
