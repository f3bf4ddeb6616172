// Package testserver starts the real servers that tests need: PostgreSQL and RabbitMQ, each a private instance on free
// loopback ports with all of its files in one temporary directory.
//
// The command in directory with starts both around a command such as `go test ./...`; tests that stop and kill servers
// start their own. Nothing that is not a test imports it. It installs nothing: `make setup` does.
package testserver
