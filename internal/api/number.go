package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
)

// exactJSON is huma's format for JSON that also takes numbers which no float64 holds: huma checks a decoded copy of the
// body, and a parameter keeps its digits beside it. A field of ours that wants a number refuses one that is none there.
func exactJSON() huma.Format {
	return huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: func(text []byte, into any) error {
		if !utf8.Valid(text) {
			return errNotUTF8
		}
		err := huma.DefaultJSONFormat.Unmarshal(text, into)
		outOfRange := (*json.UnmarshalTypeError)(nil)
		free, ok := into.(*any)
		if !ok || !errors.As(err, &outOfRange) {
			return err
		}
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber()
		if err := decoder.Decode(free); err != nil {
			return err
		}
		*free = asFloats(*free)
		return nil
	}}
}

// asFloats makes float64 of the numbers that are, as huma expects them.
func asFloats(value any) any {
	switch value := value.(type) {
	case json.Number:
		if number, err := value.Float64(); err == nil {
			return number
		}
	case map[string]any:
		for name := range value {
			value[name] = asFloats(value[name])
		}
	case []any:
		for i := range value {
			value[i] = asFloats(value[i])
		}
	}
	return value
}
