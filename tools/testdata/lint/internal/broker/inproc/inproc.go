// Package inproc is an adapter.
package inproc

import _ "github.com/attune-automation/attune/internal/broker/amqp" // want depguard
