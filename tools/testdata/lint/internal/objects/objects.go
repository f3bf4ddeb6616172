// Package objects stands on floor 1.
package objects

import _ "github.com/attune-automation/attune/internal/store" // want depguard
