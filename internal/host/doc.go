// Package host reads what Linux says of the host that we are on: which control groups we are in, and how much of what
// every execution needs is free.
package host
