// Package testserver starts the real servers that tests need: PostgreSQL, RabbitMQ and one that speaks S3, each a
// private instance on free loopback ports with all of its files in one temporary directory.
//
// The command in directory with starts them around a command such as `go test ./...`; tests that stop and kill servers
// start their own. Nothing that is not a test imports it. It installs
// nothing, which `make setup` does, and builds the S3 server from tools/s3, once.
package testserver
