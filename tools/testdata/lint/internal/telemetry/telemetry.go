// Package telemetry stands on floor 3.
package telemetry

import _ "github.com/attune-automation/attune/internal/config" // want depguard
