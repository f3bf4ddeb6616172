package client

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"unicode/utf8"

	"github.com/attune-automation/attune"
)

const inBase64 = "base64"

func keyCall(method string, id attune.KeyID, verb string) call {
	query := url.Values{}
	switch id.Owner {
	case attune.OwnerPack, attune.OwnerAction:
		query.Set(string(id.Owner), id.Of)
	case attune.OwnerSystem:
	}
	return call{method: method, path: "/keys/" + url.PathEscape(id.Name) + verb, query: query}
}

// Keys lists the keys, without their values.
func (c *Client) Keys(ctx context.Context) ([]attune.Key, error) {
	return list[attune.Key](ctx, c, "/keys", nil)
}

// Key returns what may be known of a key without its value.
func (c *Client) Key(ctx context.Context, id attune.KeyID) (k attune.Key, err error) {
	err = c.do(ctx, keyCall(http.MethodGet, id, ""), &k)
	return k, err
}

// SetKey stores a key, or its next value. One that is too short to be masked is taken only if that is said.
func (c *Client) SetKey(ctx context.Context, id attune.KeyID, value []byte, unmaskable bool) (k attune.Key, err error) {
	request := keyCall(http.MethodPut, id, "")
	body := map[string]any{"value": string(value), "unmaskable": unmaskable}
	if !utf8.Valid(value) {
		body["value"], body["encoding"] = base64.StdEncoding.EncodeToString(value), inBase64
	}
	request.body = body
	err = c.do(ctx, request, &k)
	return k, err
}

// RevealKey returns the value of a key. The server keeps who asked for it.
func (c *Client) RevealKey(ctx context.Context, id attune.KeyID) ([]byte, error) {
	var answer struct{ Value, Encoding string }
	if err := c.do(ctx, keyCall(http.MethodPost, id, "/reveal"), &answer); err != nil {
		return nil, err
	}
	if answer.Encoding != inBase64 {
		return []byte(answer.Value), nil
	}
	value, err := base64.StdEncoding.DecodeString(answer.Value)
	if err != nil {
		return nil, fmt.Errorf("read the value of the key %s: %w", id, err)
	}
	return value, nil
}

// DeleteKey deletes a key.
func (c *Client) DeleteKey(ctx context.Context, id attune.KeyID) error {
	return c.do(ctx, keyCall(http.MethodDelete, id, ""), nil)
}

// Rotation is what came of RotateKeys.
type Rotation struct {
	MasterKey string   `json:"master_key_id"` // under which everything is now
	Rewrapped int      `json:"rewrapped"`     // keys, and executions' secret parameters
	Failed    []string `json:"failed"`        // what can't be decrypted, and why
}

// RotateKeys has everything encrypted under the newest master key.
func (c *Client) RotateKeys(ctx context.Context) (r Rotation, err error) {
	err = c.do(ctx, call{method: http.MethodPost, path: "/keys/rotate"}, &r)
	return r, err
}

// RevealParameters returns the parameters of an execution with the secret ones. The server keeps who asked for them.
func (c *Client) RevealParameters(ctx context.Context, id int64) (json.RawMessage, error) {
	var answer struct{ Parameters json.RawMessage }
	err := c.do(ctx, call{method: http.MethodPost, path: "/executions/" + strconv.FormatInt(id, 10) + "/reveal"}, &answer)
	return answer.Parameters, err
}
