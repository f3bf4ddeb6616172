// Package broker stands on floor 1.
package broker

import _ "github.com/attune-automation/attune/internal/store" // want depguard
