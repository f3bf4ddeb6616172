package local_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/internal/runtime/local"
	"github.com/attune-automation/attune/internal/runtime/runtimetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newLocal returns runtimes that are set up, with support files and a cache of their own.
func newLocal(tb testing.TB, change ...func(*local.Config)) *local.Local {
	tb.Helper()
	dir := tb.TempDir()
	cfg := local.Config{
		Processes:    newSupervisor(tb),
		FallbackPath: os.Getenv("PATH"),
		SupportDir:   filepath.Join(dir, "support"),
		CacheFile:    filepath.Join(dir, "cache", "interpreters.json"),
		Logger:       slog.New(slog.DiscardHandler),
	}
	for _, c := range change {
		c(&cfg)
	}
	l := local.New(cfg)
	if err := l.SetUp(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return l
}

func TestShellIsARuntime(t *testing.T) {
	t.Parallel()
	runtimetest.Run(t, &runtimetest.Subject{
		Runtime: newLocal(t), Name: attune.RuntimeShell, File: "action.sh", Programs: shellPrograms,
	})
}

func TestPythonFunctionIsARuntime(t *testing.T) {
	t.Parallel()
	runtimetest.Run(t, &runtimetest.Subject{
		Runtime: newLocal(t), Name: attune.RuntimePython, File: "action.py", Programs: pythonFunctions(),
	})
}

func TestPythonScriptIsARuntime(t *testing.T) {
	t.Parallel()
	runtimetest.Run(t, &runtimetest.Subject{
		Runtime: newLocal(t), Name: attune.RuntimePython, File: "action.py", Programs: pythonScripts,
	})
}

var shellPrograms = runtimetest.Programs{
	Exit3:       "exit 3",
	KillItself:  "kill -KILL $$",
	Sleep:       "echo ready; sleep 60",
	Stubborn:    "trap '' TERM; echo ready; while :; do sleep 60; done",
	Echo:        `printf %s "$PARAM_TEXT"`,
	ReadsStdin:  "cat",
	IgnoresIt:   "exit 0",
	WriteResult: `echo '{"from": "file"}' > "$ATTUNE_RESULT_FILE"; echo log`,
	Flood:       `head -c 3000000 /dev/zero | tr '\0' x; echo; echo '{"end":true}'`,
	Environment: "env -0",
	Daemon:      "setsid sleep 60 >/dev/null 2>&1 < /dev/null & echo $!",
	RemovesDir:  `rm -rf "$PWD"`,
}

var pythonScripts = runtimetest.Programs{
	Exit3:       "import sys; sys.exit(3)",
	KillItself:  "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
	Sleep:       "import time; print('ready'); time.sleep(60)",
	Stubborn:    "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('ready')\ntime.sleep(60)",
	Echo:        "import sys, json; sys.stdout.buffer.write(json.load(sys.stdin)['text'].encode())",
	ReadsStdin:  "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())",
	IgnoresIt:   "pass",
	WriteResult: "import os; open(os.environ['ATTUNE_RESULT_FILE'], 'w').write('{\"from\": \"file\"}'); print('log')",
	Flood:       "print('x' * 3000000); print('{\"end\":true}')",
	Environment: "import os; print(''.join('%s=%s\\0' % item for item in os.environ.items()), end='')",
	Daemon: "import subprocess; null = subprocess.DEVNULL\n" +
		"print(subprocess.Popen(['sleep', '60'], start_new_session=True, stdin=null, stdout=null, stderr=null).pid)",
	RemovesDir: "import os, shutil; shutil.rmtree(os.getcwd())",
}

// pythonFunctions are the scripts as functions, but for what a function is given in another way.
func pythonFunctions() runtimetest.Programs {
	p := pythonScripts
	for _, program := range []*string{
		&p.Exit3, &p.KillItself, &p.Sleep, &p.IgnoresIt, &p.WriteResult, &p.Environment, &p.RemovesDir, &p.Flood,
	} {
		*program = "def run(**parameters):\n    " + *program
	}
	p.Stubborn = "import signal, time\nasync def run():\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" +
		"    print('ready')\n    time.sleep(60)"
	p.Echo = "import sys\ndef run(text):\n    sys.stdout.buffer.write(text.encode())"
	p.Flood = "def run():\n    print('x' * 3000000); print('{\"end\":true}')\n    return {'end': True}"
	return p
}
