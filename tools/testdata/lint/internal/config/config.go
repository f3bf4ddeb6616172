// Package config stands on floor 4.
package config

import _ "github.com/attune-automation/attune/internal/scheduler" // below
