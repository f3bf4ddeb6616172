// Package execution stands on floor 2.
package execution

import (
	_ "github.com/attune-automation/attune/internal/broker"  // allowed to floor 2
	_ "github.com/attune-automation/attune/internal/process" // want depguard
	_ "github.com/attune-automation/attune/internal/store"   // allowed to floor 2
)
