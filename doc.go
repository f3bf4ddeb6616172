// Package attune is the vocabulary of the program: the nouns that every other package speaks of and the table of
// states that an execution may pass through.
//
// It is imported by all and imports nothing but the standard library. It does no input or output: reading packs,
// storing rows and running processes belong to the packages below internal. The words are those that users meet in
// files, commands, JSON and the database, and they are the same everywhere.
package attune
