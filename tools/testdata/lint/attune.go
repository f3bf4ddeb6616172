// Package attune stands on floor 0.
package attune

import _ "github.com/attune-automation/attune/internal/process" // want depguard
