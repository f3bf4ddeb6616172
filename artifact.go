package attune

import "time"

// ArtifactType is what an artifact holds.
type ArtifactType string

// The types of artifacts.
const (
	ArtifactLog    ArtifactType = "log"    // stdout.log, stderr.log
	ArtifactResult ArtifactType = "result" // result.json
	ArtifactFile   ArtifactType = "file"   // what the action left in $ATTUNE_ARTIFACTS_DIR
	ArtifactTrace  ArtifactType = "trace"  // trace.json: the execution's steps
)

// Artifact is a file that an execution left.
type Artifact struct {
	Name      string       `json:"name"` // path below the attempt's directory, slash-separated
	Type      ArtifactType `json:"type"`
	Bytes     int64        `json:"bytes"`
	Attempt   int          `json:"attempt"`
	CreatedAt time.Time    `json:"created_at"`
}

// Stream is one of an execution's two outputs.
type Stream string

// The streams.
const (
	Stdout Stream = "stdout"
	Stderr Stream = "stderr"
)
