// Package local owns the runtimes that run an action as a process of this host: Python, Shell, and Local, the facade
// that picks between them by the action's metadata or, where that is silent, by the ending of its file.
//
// The worker sets one Local up and gives it to its registry. Package process does the running: how a process is
// bounded, signalled and ended is decided there, what is started with which environment here.
//
// Interpreters are looked for on Config.Path, then on Config.FallbackPath, asked once who they really are (a version
// manager's shim costs more than the interpreter behind it), and remembered in Config.CacheFile until the file that
// was found or the one behind it changes.
//
// It never puts a parameter on a command line or into source text: parameters travel by standard input, by a private
// file, or by the environment.
package local
