package pack

import "encoding/json"

// Remembered tells whether a compiled schema is kept.
func Remembered(schema json.RawMessage) bool { return schemas.Contains(string(schema)) }

// CountRemembered returns how many are.
func CountRemembered() int { return schemas.Len() }
