package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
	"github.com/attune-automation/attune/internal/pack"
)

func TestWrongSubmissionsNameTheFieldAndStoreNothing(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for _, test := range []struct {
		body   string
		status int
		word   string
	}{
		{``, 422, "body"},
		{`{`, 422, `"location":"body"`},
		{`[]`, 422, `"location":"body"`},
		{`{"action":"core.echo","extra":1}`, 422, `"location":"body.extra"`},
		{`{}`, 422, `"location":"body.action"`},
		{`{"action":"core.echo","script":{"name":"a.sh","content":""}}`, 422, `"location":"body.script"`},
		{`{"action":"Core.Echo"}`, 422, `"location":"body.action"`},
		{`{"action":5}`, 422, `"location":"body.action"`},
		{`{"action":"core.nope"}`, 404, "attune action list"},
		{`{"action":"core.echo"}`, 422, `"location":"body.parameters.message"`},
		{`{"action":"core.echo","parameters":[]}`, 422, `"location":"body.parameters"`},
		{`{"action":"core.echo","parameters":{"message":5}}`, 422, `"location":"body.parameters.message"`},
		{`{"action":"core.echo","parameters":{"mesage":"x"}}`, 422, `did you mean \"message\"`},
		{`{"action":"core.echo","parameters":{"message":"` + strings.Repeat("x", 1<<20) + `"}}`, 422, "1048576"},
		{`{"action":"core.echo","parameters":{"message":"` + strings.Repeat("x", 9<<20) + `"}}`, 413, "large"},
		{`{"action":"core.echo","parameters":{"message":"x"},"env":{"ATTUNE_X":"1"}}`, 422, `"location":"body.env.ATTUNE_X"`},
		{`{"action":"core.echo","parameters":{"message":"x"},"env":{"A":1}}`, 422, `"location":"body.env.A"`},
		{`{"action":"core.echo","parameters":{"message":"x"},"timeout_seconds":0}`, 422, `"location":"body.timeout_seconds"`},
		{`{"action":"core.echo","parameters":{"message":"x"},"timeout_seconds":1e300}`, 422, `"location":"body.timeout_seconds"`},
		{`{"action":"core.echo","parameters":{"message":"x"},"timeout_seconds":1e400}`, 422, `"location":"body.timeout_seconds"`},
		{`{"action":"core.echo","parameters":{"message":1e400}}`, 422, `"location":"body.parameters.message"`},
		{`{"script":{"name":"a.sh","content":""},"parameters":{"any":[1e401]}}`, 422, `"location":"body.parameters.any[0]"`},
		{`{"action":"core.echo","parameters":{"message":"x"},"context":{"x":"` + strings.Repeat("x", 1<<20) + `"}}`, 422, `"location":"body.context"`},
		{`{"script":{"name":"a.rb","content":"x"}}`, 422, ".py"},
		{`{"script":{"name":"","content":"x"}}`, 422, `"location":"body.script.name"`},
	} {
		s.wantProblem(http.MethodPost, "/api/v1/executions", test.body, test.status, test.word)
	}
	page, err := s.Executions(context.Background(), client.Filter{})
	if err != nil || len(page.Items) != 0 {
		t.Errorf("%d executions were stored, %v", len(page.Items), err)
	}
}

func TestProblemsDoNotRepeatValues(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for _, body := range []string{
		`{"action":"core.echo","env":{"TOKEN":["hunter2"]}}`, `{"action":"core.echo","parameters":"hunter2"}`, `{"hunter2`,
	} {
		if status, text := s.send(http.MethodPost, "/api/v1/executions", body); status != 422 || strings.Contains(text, "hunter2") {
			t.Errorf("%s: %d %s", body, status, text)
		}
	}
}

func TestSubmittedIsStoredAsGiven(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	e := s.submit(client.Submission{
		Action: "core.echo", Parameters: json.RawMessage(`{"message":"a\u0000b"}`), Env: map[string]string{"TZ": "UTC"},
		Context: json.RawMessage(`{"n":12345678901234567890}`), Timeout: 1500 * time.Millisecond, Trace: true,
	})
	if e.Status != attune.StatusRequested || e.Action != "core.echo" || e.Attempt != 1 {
		t.Errorf("%+v", e)
	}
	row, err := s.store.Read().Execution(context.Background(), e.ID)
	if err != nil {
		t.Fatal(err)
	}
	if string(row.Parameters) != `{"message":"a\u0000b"}` || string(row.Env) != `{"TZ":"UTC"}` ||
		string(row.Context) != `{"n":12345678901234567890}` || row.Timeout != 1500*time.Millisecond || !row.Trace {
		t.Errorf("%s %s %s %v %v", row.Parameters, row.Env, row.Context, row.Timeout, row.Trace)
	}
}

func TestTimeoutsHaveTheBoundsThatActionsHave(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	const body = `{"action":"core.noop","timeout_seconds":%v}`
	for _, seconds := range []float64{pack.MinTimeoutSeconds, pack.MaxTimeoutSeconds} {
		if status, text := s.send(http.MethodPost, "/api/v1/executions", fmt.Sprintf(body, seconds)); status != 201 {
			t.Errorf("%v: %d %s", seconds, status, text)
		}
	}
	for _, seconds := range []float64{pack.MinTimeoutSeconds * 0.999, pack.MaxTimeoutSeconds + 1} {
		s.wantProblem(http.MethodPost, "/api/v1/executions", fmt.Sprintf(body, seconds), 422, "body.timeout_seconds")
	}
}

func TestNumbersKeepTheirDigits(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	const numbers = `{"any":[1e400,1.10,12345678901234567890123]}`
	e := s.submit(client.Submission{Script: &client.Script{Name: "a.sh", Content: "true"}, Parameters: json.RawMessage(numbers)})
	if string(e.Parameters) != numbers {
		t.Errorf("%s", e.Parameters)
	}
}

func TestBrokenBodyIsWrongInput(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	connection, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	_, err = fmt.Fprintf(connection, "POST /api/v1/executions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"+
		"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n", token)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var p problem
	if err := json.NewDecoder(answer.Body).Decode(&p); err != nil || answer.StatusCode != 422 || p.Status != 422 {
		t.Errorf("%d %+v %v", answer.StatusCode, p, err)
	}
}

func TestAnswerToASubmissionSaysWhereItIs(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	request, err := http.NewRequest(http.MethodPost, s.url+"/api/v1/executions",
		strings.NewReader(`{"script":{"name":"a.sh","content":"true"},"parameters":{"any":"thing"}}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {"application/json"}}
	answer, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	defer answer.Body.Close()
	var e attune.Execution
	if err := json.NewDecoder(answer.Body).Decode(&e); err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != 201 || answer.Header.Get("Location") != fmt.Sprintf("/api/v1/executions/%d", e.ID) || e.Action != "adhoc.a" {
		t.Errorf("%d %v %+v", answer.StatusCode, answer.Header, e)
	}
}

func TestIdempotencyKeySubmitsOnce(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	same := client.Submission{Action: "core.echo", Parameters: json.RawMessage(`{"message":"hi"}`), IdempotencyKey: "k1"}
	ids := make(chan int64, 20)
	var wg sync.WaitGroup
	for range cap(ids) {
		wg.Go(func() {
			e, err := s.Submit(context.Background(), same)
			if err != nil {
				t.Error(err)
			}
			ids <- e.ID
		})
	}
	wg.Wait()
	first := <-ids
	for range cap(ids) - 1 {
		if id := <-ids; id != first {
			t.Errorf("the same key gave %d and %d", first, id)
		}
	}
	other := same
	other.Parameters = json.RawMessage(`{"message":"another"}`)
	if _, err := s.Submit(context.Background(), other); attune.ErrorCode(err) != attune.CodeConflict {
		t.Errorf("another request with the same key: %v", err)
	}
}

func TestRerunTakesTheVersionAndInputOfTheFirst(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	first := s.submit(client.Submission{
		Script: &client.Script{Name: "x.sh", Content: "true"}, Parameters: json.RawMessage(`{"a":"b"}`), Timeout: time.Minute,
	})
	again, err := s.Rerun(context.Background(), first.ID)
	if err != nil || again.ID == first.ID || again.Action != first.Action || string(again.Parameters) != `{"a":"b"}` {
		t.Errorf("%+v %v", again, err)
	}
	if _, err := s.Rerun(context.Background(), 999); attune.ErrorCode(err) != attune.CodeNotFound {
		t.Error(err)
	}
}
