// Package local is the adapter that may import process too.
package local

import (
	_ "github.com/attune-automation/attune/internal/process" // allowed to this adapter
	_ "github.com/attune-automation/attune/internal/runtime" // the parent is allowed
	_ "github.com/attune-automation/attune/internal/store"   // want depguard
)
