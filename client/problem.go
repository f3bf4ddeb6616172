package client

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/attune-automation/attune"
)

// maxProblemBytes bounds what is read of an answer that tells of an error.
const maxProblemBytes = 1 << 20

// readProblem turns an answer that tells of an error into an *attune.Error, and closes it. The body is a problem
// document (RFC 9457); something else, as from a proxy, is quoted.
func readProblem(answer *http.Response) error {
	defer func() { _ = answer.Body.Close() }() // all that matters was read
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxProblemBytes))
	if err != nil {
		return fmt.Errorf("read the server's error (%s): %w", answer.Status, err)
	}
	var problem struct {
		Detail string          `json:"detail"`
		Errors []attune.Detail `json:"errors"`
	}
	if json.Unmarshal(text, &problem) != nil || problem.Detail == "" {
		first, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
		problem.Detail = fmt.Sprintf("the server answered %s: %.200s", answer.Status, first)
	}
	return &attune.Error{Code: codeOf(answer.StatusCode), Message: problem.Detail, Details: problem.Errors}
}

func codeOf(status int) attune.Code {
	switch status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge,
		http.StatusUnsupportedMediaType, http.StatusMethodNotAllowed:
		return attune.CodeInvalid
	case http.StatusUnauthorized:
		return attune.CodeNoToken
	case http.StatusForbidden:
		return attune.CodeDenied
	case http.StatusNotFound:
		return attune.CodeNotFound
	case http.StatusConflict:
		return attune.CodeConflict
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return attune.CodeUnavailable
	}
	return attune.CodeInternal
}
