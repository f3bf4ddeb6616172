package objects

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// place is where a store is.
type place struct {
	bucket  string     // of S3, "" for a directory
	dir     string     // "" for S3
	options url.Values // of the URL
	mode    uint64     // of directories that are made in dir
}

// Directories returns the directories of this host in which the store of a URL keeps objects.
func Directories(text string) []string {
	if p, err := parse(text); err == nil && p.dir != "" {
		return []string{p.dir}
	}
	return nil
}

// CredentialFiles returns the files that may hold credentials for the store of a URL, whether or not they are there, by
// the variables that AWS's own programs read.
func CredentialFiles(text string, getenv func(string) string) (files []string) {
	if p, err := parse(text); err != nil || p.bucket == "" {
		return nil
	}
	home := getenv("HOME")
	for variable, usual := range map[string]string{
		"AWS_SHARED_CREDENTIALS_FILE": ".aws/credentials", "AWS_CONFIG_FILE": ".aws/config", "AWS_WEB_IDENTITY_TOKEN_FILE": "",
	} {
		if file := getenv(variable); path.IsAbs(file) {
			files = append(files, file)
		} else if file == "" && usual != "" && path.IsAbs(home) {
			files = append(files, path.Join(home, usual))
		}
	}
	return slices.Sorted(slices.Values(files))
}

const example = "write s3://bucket?region=eu-central-1, or file:///a/directory/that/hosts/share"

// bucketName is what S3 lets a bucket be called, and no IP address or host with a port.
var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// Check tells what is wrong with the URL of a store, without opening it. It quotes no part of the URL.
func Check(text string) error {
	_, err := parse(text)
	return err
}

func parse(text string) (place, error) {
	u, err := url.Parse(text)
	if err != nil {
		return place{}, errors.New("it is not a URL: " + example)
	}
	switch {
	case u.User != nil:
		return place{}, errors.New("it must not hold who asks: credentials come from the environment (AWS_ACCESS_KEY_ID and " +
			"AWS_SECRET_ACCESS_KEY, a profile, or the host's role)")
	case u.Fragment != "":
		return place{}, errors.New("it must not have a part behind #: " + example)
	}
	options, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return place{}, errors.New("what stands behind ? is not name=value&…: " + example)
	}
	switch u.Scheme {
	case "s3":
		return bucketOf(u, options)
	case "file":
		return directoryOf(u, options)
	}
	return place{}, errors.New("it is neither s3:// nor file://: " + example)
}

func bucketOf(u *url.URL, options url.Values) (place, error) {
	if !bucketName.MatchString(u.Host) || strings.Contains(u.Host, "..") {
		return place{}, errors.New("behind s3:// stands the name of a bucket, 3 to 63 of a-z, 0-9, dot and hyphen: " + example)
	}
	if u.Path != "" && u.Path != "/" {
		return place{}, errors.New("it must not have a path: a store has its own bucket, like s3://bucket?region=eu-central-1")
	}
	return place{bucket: u.Host, options: options}, checkOptions(options, bucketOptions)
}

func directoryOf(u *url.URL, options url.Values) (place, error) {
	if u.Host != "" || !path.IsAbs(u.Path) || path.Clean(u.Path) == "/" {
		return place{}, errors.New("file:// needs an absolute path, with three slashes: write file:///srv/attune-artifacts")
	}
	p := place{dir: path.Clean(u.Path), options: options, mode: 0o700}
	if err := checkOptions(options, directoryOptions); err != nil {
		return place{}, err
	}
	if text := options.Get("dir_file_mode"); text != "" {
		p.mode, _ = strconv.ParseUint(text, 8, 32) // it was checked
	}
	return p, nil
}

// The options that a URL may have, with the check of each one's value.
var (
	bucketOptions = map[string]func(string) error{
		"region": notEmpty, "profile": notEmpty, "kmskeyid": notEmpty,
		"endpoint":       endpoint,
		"use_path_style": boolean, "accelerate": boolean, "dualstack": boolean, "fips": boolean,
		"ssetype":                      oneOf("AES256", "aws:kms", "aws:kms:dsse"),
		"request_checksum_calculation": oneOf("when_supported", "when_required"),
		"response_checksum_validation": oneOf("when_supported", "when_required"),
	}
	directoryOptions = map[string]func(string) error{"dir_file_mode": mode}
)

func checkOptions(options url.Values, known map[string]func(string) error) error {
	for _, name := range slices.Sorted(maps.Keys(options)) {
		check, ok := known[name]
		switch values := options[name]; {
		case !ok:
			return fmt.Errorf("it has an option that there is not: there are %s", strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		case len(values) > 1:
			return fmt.Errorf("it has the option %s twice", name)
		default:
			if err := check(values[0]); err != nil {
				return fmt.Errorf("its option %s %w", name, err)
			}
		}
	}
	return nil
}

func notEmpty(text string) error {
	if text == "" {
		return errors.New("is empty")
	}
	return nil
}

func boolean(text string) error {
	if text != "true" && text != "false" {
		return errors.New("is neither true nor false")
	}
	return nil
}

func oneOf(values ...string) func(string) error {
	return func(text string) error {
		if !slices.Contains(values, text) {
			return fmt.Errorf("is none of %s", strings.Join(values, ", "))
		}
		return nil
	}
}

func mode(text string) error {
	if bits, err := strconv.ParseUint(text, 8, 32); err != nil || bits > 0o777 || bits&0o700 != 0o700 {
		return errors.New("is no mode of directories: write 0700, 0750 or 0770")
	}
	return nil
}

func endpoint(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return errors.New("is not an address: write https://host or http://host:port")
	}
	if u.User != nil {
		return errors.New("must not hold who asks: credentials come from the environment")
	}
	return nil
}
