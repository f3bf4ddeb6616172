// Command with runs a command beside a private PostgreSQL and a private RabbitMQ, whose addresses it finds in its
// environment: with go test ./...
//
// A server that ATTUNE_TEST_POSTGRES_URL or ATTUNE_TEST_AMQP_URL names already is used instead. Its exit status is the
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
	var starting errgroup.Group
	if os.Getenv(postgresURL) == "" {
		starting.Go(func() (err error) { postgres, err = testserver.StartPostgres(false); return err })
	}
	if os.Getenv(amqpURL) == "" {
		starting.Go(func() (err error) { rabbitmq, err = testserver.StartRabbitMQ(); return err })
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
