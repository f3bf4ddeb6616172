package cli

import (
	"net/url"
	"strings"
)

// maxTokenBytes bounds what --token-file reads.
const maxTokenBytes = 64 << 10

// checkServer refuses what can't be the address of a server, which came from there, and says how it is written. An address may
// hold a password: it is not repeated.
func checkServer(from, address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return usage("%s: not the address of a server: write %s", from, nearestAddress(address))
	case u.RawQuery != "" || u.Fragment != "":
		return usage("%s: leave out what follows ? or #: write %s", from, nearestAddress(address))
	}
	return nil
}

// nearestAddress is what was probably meant: the host and port that the text has, else an example.
func nearestAddress(text string) string {
	if _, after, ok := strings.Cut(text, "://"); ok {
		text = after
	}
	text = text[strings.LastIndexByte(text, '@')+1:] // a name and a password stand before it
	if i := strings.IndexAny(text, "/?#"); i >= 0 {
		text = text[:i]
	}
	u, err := url.Parse("http://" + text)
	if err != nil || u.Hostname() == "" || strings.ContainsAny(text, " \t\\") {
		return "http://127.0.0.1:7080"
	}
	return u.String()
}

// token is what --token-file holds, else ATTUNE_TOKEN.
func (a *app) token() (string, error) {
	from, text := "ATTUNE_TOKEN", a.getenv("ATTUNE_TOKEN")
	if a.flags.tokenFile != "" {
		content, err := a.readBounded(a.flags.tokenFile, maxTokenBytes)
		if err != nil {
			return "", usage("--token-file: %v", err)
		}
		from, text = "--token-file "+a.flags.tokenFile, string(content)
	}
	if strings.TrimSpace(text) == "" && a.flags.tokenFile != "" {
		return "", usage("%s: the file holds no token", from)
	}
	return tokenFrom(from, text)
}

// tokenFrom is the token that a text holds.
func tokenFrom(from, text string) (string, error) {
	text = strings.TrimSpace(text)
	if strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return "", usage("%s: the token has characters that no token has, like spaces or line breaks: it is one word", from)
	}
	return text, nil
}
