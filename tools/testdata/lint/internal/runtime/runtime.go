// Package runtime stands on floor 1.
package runtime

import _ "github.com/attune-automation/attune/internal/process" // want depguard
