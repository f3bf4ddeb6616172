package artifact

import (
	"fmt"
	"path"
	"strconv"
)

// Key returns the name of an artifact in an artifact store: that of its file below the directory that workers share.
func Key(worker string, executionID int64, attempt int, name string) string {
	dir := KeyDir(worker, executionID)
	if attempt > 1 {
		dir = path.Join(dir, attemptPrefix+strconv.Itoa(attempt))
	}
	return dir + "/" + name // as it is: what is no plain name is refused where it is used
}

// KeyDir returns what the names of all artifacts of an execution on a worker begin with, before a slash.
func KeyDir(worker string, executionID int64) string {
	return path.Join(worker, fmt.Sprintf("%s%d", executionPrefix, executionID))
}
