// Package amqp is an adapter and imports its parent.
package amqp

import _ "github.com/attune-automation/attune/internal/broker" // the parent is allowed
