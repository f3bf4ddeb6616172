// Command attune runs automation actions: see README.md, or `attune help`.
package main

import (
	"os"

	"github.com/attune-automation/attune/internal/cli"
)

// version is set by the build: -ldflags "-X main.version=v1.2.3".
var version string

func main() {
	os.Exit(cli.Main(cli.Process{
		Args: os.Args[1:], Environ: os.Environ(), Version: version,
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	}))
}
