// Package process stands on floor 1 and keeps to the rules.
package process
