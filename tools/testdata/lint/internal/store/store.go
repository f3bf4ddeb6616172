// Package store stands on floor 1.
package store

import _ "github.com/attune-automation/attune/internal/process" // want depguard
