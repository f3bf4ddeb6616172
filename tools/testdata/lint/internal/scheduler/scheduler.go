// Package scheduler stands on floor 3.
package scheduler

import _ "github.com/attune-automation/attune/internal/execution" // below
