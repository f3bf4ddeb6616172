// Package pack owns the format of packs: reading pack.yaml and action files strictly, normalising and applying
// parameter schemas, and moving packs about as archives whose digest names their content.
//
// The API reads an uploaded archive with Load before anything is stored and applies parameters before Submit; the
// command line uses Read for validation, Archive for installation, Script for a file that is in no pack and New for a
// first pack; a worker calls Unpack before each run and CheckResult after it.
//
// It never touches the database, never runs an action, never imports its code, and never reads outside the pack that
// it was given: no link that leaves it, no remote schema. What is wrong is reported all at once, each fault with its
// file, line and column; nothing is returned by halves.
//
// docs/actions.md describes the format for users and is kept true to this package.
package pack
