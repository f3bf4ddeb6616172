package pack

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The limits of numbers. Those of JSON are boundless, and arithmetic on 1e999999 is not free; no runtime has any use
// for one that is no float and has more digits than this.
const (
	maxDigits   = 400
	maxExponent = 400
)

// jsonNumber is the grammar of RFC 8259, section 6.
var jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

func isNumber(text string) bool { return jsonNumber.MatchString(text) }

// checkNumber returns an error for a JSON number outside of the limits.
func checkNumber(text string) error {
	mantissa, exponent, _ := strings.Cut(strings.ToLower(text), "e")
	if len(mantissa) > maxDigits {
		return fmt.Errorf("a number of %d digits: at most %d are possible", len(mantissa), maxDigits)
	}
	if exponent == "" {
		return nil
	}
	if e, err := strconv.Atoi(exponent); err != nil || e > maxExponent || e < -maxExponent {
		return fmt.Errorf("the number %.20s is out of range: exponents go from -%d to %d", text, maxExponent, maxExponent)
	}
	return nil
}

// decodeJSON reads exactly one JSON value. Unlike encoding/json it keeps every digit and refuses bytes that are no
// UTF-8, keys given twice, depths over 64 and numbers outside of the limits: each would reach the action as something
// that was not sent. The path of an error is relative to the value: server.port.
func decodeJSON(data []byte) (any, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("not UTF-8")
	}
	d := jsonDecoder{json.NewDecoder(bytes.NewReader(data))}
	d.UseNumber()
	value, err := d.value(1)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one JSON value")
	}
	return value, nil
}

type jsonDecoder struct{ *json.Decoder }

func (d jsonDecoder) value(depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("more than %d levels deep", maxDepth)
	}
	token, err := d.token()
	if err != nil {
		return nil, err
	}
	switch token := token.(type) {
	case json.Delim:
		if token == '{' {
			return d.object(depth)
		}
		return d.array(depth)
	case json.Number:
		return token, checkNumber(token.String())
	}
	return token, nil
}

func (d jsonDecoder) token() (json.Token, error) {
	token, err := d.Token()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("not JSON: it ends too early")
	}
	if err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	return token, nil
}

func (d jsonDecoder) object(depth int) (any, error) {
	object := map[string]any{}
	for d.More() {
		token, err := d.token()
		if err != nil {
			return nil, err
		}
		name, ok := token.(string)
		if !ok {
			return nil, errors.New("not JSON: a key that is no string")
		}
		if _, twice := object[name]; twice {
			return nil, fmt.Errorf("key %q is given twice", name)
		}
		if object[name], err = d.value(depth + 1); err != nil {
			return nil, below(name, err)
		}
	}
	_, err := d.token()
	return object, err
}

func (d jsonDecoder) array(depth int) (any, error) {
	list := []any{}
	for d.More() {
		item, err := d.value(depth + 1)
		if err != nil {
			return nil, below(fmt.Sprintf("[%d]", len(list)), err)
		}
		list = append(list, item)
	}
	_, err := d.token()
	return list, err
}

// valueError is what is wrong with a value somewhere inside another one.
type valueError struct {
	path string // servers[0].port
	err  error
}

func (e *valueError) Error() string { return e.path + ": " + e.err.Error() }

func (e *valueError) Unwrap() error { return e.err }

// below places an error under a key, or an index in brackets.
func below(step string, err error) error {
	inner := (*valueError)(nil)
	if !errors.As(err, &inner) {
		return &valueError{step, err}
	}
	if !strings.HasPrefix(inner.path, "[") {
		step += "."
	}
	return &valueError{step + inner.path, inner.err}
}

// encodeJSON writes a value with sorted keys and no HTML escapes.
func encodeJSON(value any) (json.RawMessage, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buffer.Bytes(), []byte("\n")), nil
}
