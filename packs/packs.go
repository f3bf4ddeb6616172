// Package packs owns the packs that ship inside the binary: today the core pack, as files.
//
// Package pack reads and validates what it holds like any other pack's directory; the composition root installs it.
// It never runs anything and knows nothing of the format.
package packs

import (
	"embed"
	"io/fs"
)

//go:embed all:core
var files embed.FS

// Core returns the core pack's directory, with pack.yaml at its root.
func Core() (fs.FS, error) { return fs.Sub(files, "core") }
