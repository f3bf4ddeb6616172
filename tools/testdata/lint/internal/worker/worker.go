// Package worker stands on floor 3.
package worker

import _ "github.com/attune-automation/attune/internal/scheduler" // want depguard
