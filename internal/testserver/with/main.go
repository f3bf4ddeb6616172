// Command with runs a command beside a private PostgreSQL, a private RabbitMQ and a private S3 server, whose addresses it
// finds in its environment: with go test ./...
//
// A server that ATTUNE_TEST_POSTGRES_URL, ATTUNE_TEST_AMQP_URL or ATTUNE_TEST_S3_URL names already is used instead. Its exit status is the
// command's.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/attune-automation/attune/internal/testserver"
)

// Names of the variables by which tests find the servers.
const (
	postgresURL   = "ATTUNE_TEST_POSTGRES_URL"
	amqpURL       = "ATTUNE_TEST_AMQP_URL"
	managementURL = "ATTUNE_TEST_AMQP_MANAGEMENT_URL"
	s3URL         = "ATTUNE_TEST_S3_URL" // of an endpoint; who asks is in the variables that AWS's own programs read
)

func main() {
	status, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "with:", err)
	}
	os.Exit(status)
}

// run starts the servers that are missing, runs the command, and stops what it has started.
func run(command []string) (status int, err error) {
	if len(command) == 0 {
		return 2, errors.New("name a command to run, such as go test")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var postgres *testserver.Postgres
	var rabbitmq *testserver.RabbitMQ
	var s3 *testserver.S3
	var starting errgroup.Group
	if os.Getenv(postgresURL) == "" {
		starting.Go(func() (err error) { postgres, err = testserver.StartPostgres(false); return err })
	}
	if os.Getenv(amqpURL) == "" {
		starting.Go(func() (err error) { rabbitmq, err = testserver.StartRabbitMQ(); return err })
	}
	if os.Getenv(s3URL) == "" {
		starting.Go(func() (err error) { s3, err = testserver.StartS3(); return err })
	}
	failed := starting.Wait()
	env := os.Environ()
	if postgres != nil {
		defer func() { err = errors.Join(err, postgres.Stop()) }()
		env = append(env, postgresURL+"="+postgres.URL)
	}
	if rabbitmq != nil {
		defer func() { err = errors.Join(err, rabbitmq.Stop()) }()
		env = append(env, amqpURL+"="+rabbitmq.URL, managementURL+"="+rabbitmq.ManagementURL)
	}
	if s3 != nil {
		defer func() { err = errors.Join(err, s3.Stop()) }()
		env = append(append(env, s3URL+"="+s3.Endpoint), s3.Env...)
	}
	if failed != nil {
		return 1, failed
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = env, os.Stdin, os.Stdout, os.Stderr
	var exit *exec.ExitError
	switch err := cmd.Run(); {
	case errors.As(err, &exit):
		return max(1, exit.ExitCode()), nil
	case err != nil:
		return 1, err
	}
	return 0, nil
}
