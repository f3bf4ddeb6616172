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

// LogFile is the name of the artifact that holds what was written to the stream.
func (s Stream) LogFile() string { return string(s) + ".log" }

// OutputOrder tells how the logs of an attempt came after each other: so many bytes of stdout, then so many of stderr, then
// of stdout again, and so on. Of what a log has beyond them, as the end of one that was cut short, nobody knows when it came.
// It is nil unless both were written.
type OutputOrder []int64
