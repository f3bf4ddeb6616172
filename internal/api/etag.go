package api

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// IfNoneMatch is for who has an answer already. It is exported because huma reads embedded structs only then.
type IfNoneMatch struct {
	Tags string `header:"If-None-Match" doc:"the ETag of an answer: the same again is 304, without a body"`
}

// tagged is an answer with its ETag.
type tagged[T any] struct {
	Status int
	ETag   string `header:"ETag"`
	Body   T
}

// tag returns the answer, or that the client has it (RFC 9110, section 13.1.2).
func tag[T any](body T, has IfNoneMatch) (*tagged[T], error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("encode an answer: %w", err)
	}
	sum := sha256.Sum256(text)
	answer := &tagged[T]{Status: http.StatusOK, ETag: `"` + hex.EncodeToString(sum[:16]) + `"`, Body: body}
	for one := range strings.SplitSeq(has.Tags, ",") {
		if one = strings.TrimSpace(one); one == "*" || strings.TrimPrefix(one, "W/") == answer.ETag {
			answer.Status = http.StatusNotModified
		}
	}
	return answer, nil
}
