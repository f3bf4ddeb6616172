package client_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
)

// Run an action and wait for its end.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := connect()
	defer c.Close()

	e, err := c.Submit(ctx, client.Submission{
		Script:     &client.Script{Name: "add.py", Content: "def run(a, b):\n    return {'sum': int(a) + int(b)}\n"},
		Parameters: json.RawMessage(`{"a":"2","b":"3"}`),
		Timeout:    30 * time.Second,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if e, err = c.WaitExecution(ctx, e.ID); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(e.Action, e.Status, string(e.Result))
	// Output: adhoc.add completed {"sum":5}
}

// Follow what an execution writes, through all of its attempts, until it has ended, also over a connection that breaks.
func ExampleClient_Logs() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := connect()
	defer c.Close()

	e, err := c.Submit(ctx, client.Submission{Script: &client.Script{Name: "count.sh", Content: "for i in 1 2 3; do echo line $i; done"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	log, err := c.Logs(ctx, e.ID, attune.Stdout, client.LogOptions{Follow: true, Broken: func(why error) {
		if why != nil {
			fmt.Fprintln(os.Stderr, "broken off, trying again:", why)
		}
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer log.Close()
	if _, err := io.Copy(os.Stdout, log); err != nil {
		fmt.Println(err)
	}
	// Output:
	// line 1
	// line 2
	// line 3
}

// Go through all executions that a filter selects, some at a time.
func ExampleClient_Executions() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := connect()
	defer c.Close()

	for range 5 {
		if _, err := c.Submit(ctx, client.Submission{Action: "core.echo", Parameters: json.RawMessage(`{"message":"hi"}`)}); err != nil {
			fmt.Println(err)
			return
		}
	}
	filter, pages, found := client.Filter{Action: "core.echo", Limit: 2}, 0, 0
	for {
		page, err := c.Executions(ctx, filter)
		if err != nil {
			fmt.Println(err)
			return
		}
		pages, found = pages+1, found+len(page.Items)
		if filter.Cursor = page.NextCursor; filter.Cursor == "" {
			break
		}
	}
	fmt.Println(found, "on", pages, "pages")
	// Output: 5 on 3 pages
}

// Install a pack from an archive that is made on the spot, and run its action.
func ExampleClient_InstallPack() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := connect()
	defer c.Close()

	var archive bytes.Buffer
	compressed := gzip.NewWriter(&archive)
	files := tar.NewWriter(compressed)
	for _, file := range []struct{ name, content string }{
		{"pack.yaml", "ref: demo\nversion: 1.0.0\n"},
		{"actions/hello.yaml", "ref: demo.hello\nrunner_type: shell\nentry_point: hello.sh\n"},
		{"actions/hello.sh", "echo '{\"hello\": \"world\"}'\n"},
	} {
		if err := files.WriteHeader(&tar.Header{Name: file.name, Mode: 0o644, Size: int64(len(file.content))}); err != nil {
			fmt.Println(err)
			return
		}
		_, _ = io.WriteString(files, file.content) // into memory
	}
	if err := errors.Join(files.Close(), compressed.Close()); err != nil {
		fmt.Println(err)
		return
	}
	pack, err := c.InstallPack(ctx, bytes.NewReader(archive.Bytes()))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(pack.Ref, pack.Version)
	e, err := c.Submit(ctx, client.Submission{Action: "demo.hello"})
	if err == nil {
		e, err = c.WaitExecution(ctx, e.ID)
	}
	fmt.Println(string(e.Result), err)
	// Output:
	// demo 1.0.0
	// {"hello":"world"} <nil>
}

// Watch how executions change, from now on.
func ExampleClient_Events() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := connect()
	defer c.Close()

	submitting := make(chan error, 1)
	go func() { // until the stream has begun, what happens is not seen: ask until something is
		for {
			_, err := c.Submit(ctx, client.Submission{Action: "core.noop"})
			if err != nil {
				submitting <- err
				return
			}
			select {
			case <-ctx.Done():
				submitting <- nil
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	}()
	for event, err := range c.Events(ctx) {
		if err != nil {
			fmt.Println(err)
			break
		}
		if event.ActionRef == "core.noop" && event.NewStatus.Final() {
			fmt.Println(event.ActionRef, event.PreviousStatus, "to", event.NewStatus)
			break
		}
	}
	cancel()
	<-submitting
	// Output: core.noop running to completed
}

// Tell apart what went wrong.
func Example_errors() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := connect()
	defer c.Close()

	_, err := c.Submit(ctx, client.Submission{Action: "core.echo", Parameters: json.RawMessage(`{"massage":"hi"}`)})
	var refused *attune.Error
	if errors.As(err, &refused) && refused.Code == attune.CodeInvalid {
		for _, field := range refused.Details {
			fmt.Println(field.Place)
		}
	}
	_, err = c.Execution(ctx, 1_000_000)
	fmt.Println(attune.ErrorCode(err) == attune.CodeNotFound)
	// Output:
	// body.parameters.massage
	// body.parameters.message
	// true
}

// Have a submission repeated without running it twice: by the client itself while the server is busy, and by you.
func ExampleClient_Submit_retries() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := connect()
	defer c.Close()

	order := client.Submission{Action: "core.noop", IdempotencyKey: "order 4711"}
	first, err := c.Submit(ctx, order)
	if err != nil {
		fmt.Println(err)
		return
	}
	again, err := c.Submit(ctx, order)
	fmt.Println(again.ID == first.ID, err)
	// Output: true <nil>
}
