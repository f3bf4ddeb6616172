package e2e_test

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	console "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
	"github.com/attune-automation/attune/internal/host/hosttest"
)

// screenshots is the directory for pictures of the pages, if there are to be any: docs/images.
const screenshots = "ATTUNE_TEST_SCREENSHOTS"

// browser is a real browser that looks at a system, and notes what must not be.
type browser struct {
	*host
	ctx context.Context
	url string

	mu       sync.Mutex
	faults   []string // errors in its console, and requests to elsewhere
	expected []string // what a fault may hold: the tests' own wrong input
}

// browse starts a browser; without one the test is skipped, but fails in CI.
func (h *host) browse(s *system) *browser {
	h.t.Helper()
	path, err := exec.LookPath("chromium")
	hosttest.Needs(h.t, err == nil, "chromium is not installed: run `make setup` as root on Debian or Ubuntu")
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.WindowSize(1280, 900),
		chromedp.WSURLReadTimeout(patience), chromedp.Flag("disable-component-update", true))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // it refuses to run as root in one
	}
	allocated, stop := chromedp.NewExecAllocator(h.t.Context(), options...)
	h.t.Cleanup(stop)
	ctx, end := chromedp.NewContext(allocated)
	h.t.Cleanup(end)
	b := &browser{host: h, ctx: ctx, url: s.url}
	chromedp.ListenTarget(ctx, b.note)
	b.do(network.Enable(), console.Enable(), runtime.Enable())
	return b
}

// note keeps what must not be: a request to another origin, an error in the console. It also agrees to every question.
func (b *browser) note(event any) {
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		if !strings.HasPrefix(e.Request.URL, b.url+"/") && !strings.HasPrefix(e.Request.URL, "data:") {
			b.fault("request to " + e.Request.URL)
		}
	case *runtime.EventExceptionThrown:
		b.fault("exception: " + e.ExceptionDetails.Error())
	case *runtime.EventConsoleAPICalled:
		b.fault(fmt.Sprintf("console.%s", e.Type))
	case *console.EventEntryAdded:
		if e.Entry.Level != console.LevelVerbose { // the browser's advice
			b.fault(fmt.Sprintf("%s: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL))
		}
	case *page.EventJavascriptDialogOpening:
		go func() { _ = chromedp.Run(b.ctx, page.HandleJavaScriptDialog(true)) }() // the browser may have gone
	}
}

func (b *browser) fault(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = append(b.faults, text)
}

// do acts in the browser; what does not come to pass in time fails the test with what the page says.
func (b *browser) do(actions ...chromedp.Action) {
	b.t.Helper()
	// The first Run starts the browser, which lasts as long as its context.
	if err := chromedp.Run(b.ctx); err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		b.t.Fatalf("%v\nthe page says:\n%s", err, head(b.text()))
	}
}

func (b *browser) text() string {
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
	defer cancel()
	var text string
	if err := chromedp.Run(ctx, chromedp.Evaluate(`location.href + "\n" + document.body.innerText`, &text)); err != nil {
		return err.Error()
	}
	return text
}

// open shows a page and waits until it is whole.
func (b *browser) open(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.url+path), chromedp.WaitVisible(".page[data-ready]"))
}

// shows waits until a part of the page has a text.
func (b *browser) shows(selector, text string) {
	b.t.Helper()
	b.until(fmt.Sprintf(`document.querySelector(%q)?.innerText.includes(%q)`, selector, text))
}

// until waits until an expression is true, over changes of the page too.
func (b *browser) until(expression string) {
	b.t.Helper()
	deadline, tick := time.After(patience), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for {
		var is bool
		err := chromedp.Run(b.ctx, chromedp.Evaluate("("+expression+") === true", &is))
		if err == nil && is {
			return
		}
		select {
		case <-deadline:
			b.t.Fatalf("%s: it did not come to pass (%v); the page says:\n%s", expression, err, head(b.text()))
		case <-tick.C:
		}
	}
}

// set fills in a field of the form.
func (b *browser) set(name, value string) {
	b.t.Helper()
	field := "#p-" + name
	b.until(fmt.Sprintf(`(document.querySelector(%q).value = "") === ""`, field))
	b.do(chromedp.SendKeys(field, value, chromedp.ByQuery))
}

// click clicks what can be clicked: what is there and enabled, and in front of everything else. It looks and clicks at once, or
// the page may have changed meanwhile.
func (b *browser) click(selector string) {
	b.t.Helper()
	b.until(fmt.Sprintf(`(() => {
		const e = document.querySelector(%q);
		e?.scrollIntoView({ block: "center" });
		const at = e?.getClientRects()[0];
		if (!at || e.disabled || !e.contains(document.elementFromPoint(at.x + at.width / 2, at.y + at.height / 2))) return false;
		e.click();
		return true;
	})()`, selector))
}

// logIn goes to a page by way of the login.
func (b *browser) logIn(path, token string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.url+path), chromedp.SendKeys("#token", token, chromedp.ByQuery), chromedp.Submit("#token", chromedp.ByQuery))
}

// picture keeps how the page looks, if asked to.
func (b *browser) picture(name string) {
	b.t.Helper()
	dir := os.Getenv(screenshots)
	if dir == "" {
		return
	}
	var image []byte
	b.do(chromedp.CaptureScreenshot(&image))
	if err := os.WriteFile(filepath.Join(dir, name+".png"), image, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// clean asserts that nothing was noted but what was expected.
func (b *browser) clean() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
next:
	for _, fault := range b.faults {
		for _, expected := range b.expected {
			if strings.Contains(fault, expected) {
				continue next
			}
		}
		b.t.Error(fault)
	}
}

func TestPagesInABrowser(t *testing.T) {
	t.Parallel()
	h := newHost(t, embedded)
	s := h.up()
	b := h.browse(s)
	token, err := os.ReadFile(filepath.Join(h.dir, "token"))
	if err != nil {
		t.Fatal(err)
	}
	b.expected = []string{"401 (Unauthorized) " + s.url + "/login"} // of the wrong token
	b.logIn("/actions", "wrong")
	b.shows(".fault", "not known here")
	b.picture("login")
	b.logIn("/actions", strings.TrimSpace(string(token)))
	b.shows(".page[data-ready]", "core.echo")
	b.picture("actions")

	b.runsFromItsForm()
	b.cancels(s.Client)
	b.showsMarkupAsText(s.Client)
	b.showsManyLines(s.Client)
	b.uploadsAPack(s.Client)
	b.open("/executions?status=cancelled")
	b.shows("table", "core.sleep")
	b.open("/")
	b.shows("main", "Failed of late")
	b.until(`document.querySelectorAll("svg.chart").length === 2`)
	b.picture("overview")
	b.open("/executions")
	b.picture("executions")
	b.filtersByText()
	b.listsKeys(s.Client)
	b.managesTokens(s.Client)
	b.readsTheAuditLog()
	b.drains(s)
	b.offersWhatARoleMay(s.Client)
	b.clean()
}

// offersWhatARoleMay looks at pages as a viewer.
func (b *browser) offersWhatARoleMay(c *client.Client) {
	b.t.Helper()
	made, err := c.CreateToken(b.t.Context(), client.TokenRequest{Role: attune.RoleViewer, Name: "who looks"})
	if err != nil {
		b.t.Fatal(err)
	}
	b.open("/packs")
	b.until(`document.querySelector("#upload").offsetParent !== null`)
	b.logIn("/login?next=/packs", made.Secret)
	b.until(`document.querySelector("#upload")?.offsetParent === null`)
	b.open("/actions/core.noop")
	b.until(`document.querySelector("#run")?.offsetParent === null`)
}

// runsFromItsForm starts an action with a wrong value, then a right one, and again with another.
func (b *browser) runsFromItsForm() {
	b.t.Helper()
	b.click(`a[href="/actions/core.noop"]`)
	b.do(chromedp.WaitVisible("#p-exit_code"))
	b.set("exit_code", "256")
	b.click("#run")
	b.shows("#p-exit_code-fault", "want at most 255")
	b.set("exit_code", "3")
	b.click("#run")
	b.shows(".heading .status", "failed")
	b.shows("#error", "exit")
	b.shows("#parameters", "exit_code: 3")
	b.click("#change")
	b.until(`document.querySelector("#p-exit_code")?.value === "3"`)
	b.set("exit_code", "0")
	b.click("#run")
	b.shows(".heading .status", "completed")

	// A fault that only the server sees is shown at its field, too.
	b.expected = append(b.expected, "422 (Unprocessable Entity) "+b.url+"/api/v1/executions")
	b.open("/actions/core.http_request")
	b.set("url", "http://127.0.0.1:1/")
	b.set("headers", `{"X": 1}`)
	b.picture("action")
	b.click("#run")
	b.shows("#p-headers-fault", "headers.X: got number, want string")
}

// cancels watches output as it is written, and ends what writes it.
func (b *browser) cancels(c *client.Client) {
	b.t.Helper()
	b.open("/actions/core.shell")
	b.set("cmd", `printf '\033[31mfirst\033[0m line\n'; while [[ ! -e `+b.hold+` ]]; do sleep 0.05; done; echo second; echo wrong >&2; exec sleep 1000`)
	b.click("#run")
	b.shows(".log.stdout .lines", "first line")
	b.until(`document.querySelector(".log.stdout .fg-1")?.textContent === "first"`)
	b.until(`!document.querySelector(".log.stdout .lines").innerText.includes("second")`)
	if err := os.WriteFile(b.hold, nil, 0o600); err != nil {
		b.t.Fatal(err)
	}
	b.shows(".log.stdout .lines", "second")
	b.shows(".log.stderr .lines", "wrong")
	b.click("#cancel")
	b.shows(".heading .status", "cancelled")
	b.click("#rerun")
	b.shows(".heading .status", "running")
	b.click("#cancel")
	b.shows(".heading .status", "cancelled")
	waiting := b.submit(c, client.Submission{Action: "core.sleep", Parameters: []byte(`{"seconds": 1000}`)})
	b.open(fmt.Sprintf("/executions/%d", waiting))
	b.shows(".heading .status", "running")
	b.click("#cancel")
	b.shows(".heading .status", "cancelled")
}

// showsMarkupAsText gives HTML as a parameter, which the action prints and returns.
func (b *browser) showsMarkupAsText(c *client.Client) {
	b.t.Helper()
	const markup = `<img src=x onerror=document.title='broken'><script>document.title='broken'</script>`
	id := b.submit(c, client.Submission{Action: "core.python", Parameters: []byte(fmt.Sprintf(`{"code": %q}`,
		`result = {"markup": """`+markup+`""", "number": 12345678901234567890}; print(result["markup"])`))})
	b.becomes(c, id, attune.StatusCompleted)
	b.open(fmt.Sprintf("/executions/%d", id))
	b.shows("#parameters", markup)
	b.shows("#result", `<img src=x`)
	b.shows("#result", "12345678901234567890")
	b.shows(".log.stdout .lines", markup)
	b.until(`document.querySelectorAll("main img, main script").length === 0 && document.title.includes("Execution")`)
}

// showsManyLines has a log of 100,000 lines, of which the page holds those in sight.
func (b *browser) showsManyLines(c *client.Client) {
	b.t.Helper()
	id := b.submit(c, script("seq 100000", nil))
	b.becomes(c, id, attune.StatusCompleted)
	b.open(fmt.Sprintf("/executions/%d", id))
	b.shows(".log.stdout .bar", "100000 lines")
	b.shows(".log.stdout .lines", "100000")
	b.until(`document.querySelectorAll(".line").length < 300`)
	b.do(chromedp.SendKeys(`input[aria-label="Search stdout"]`, "54321", chromedp.ByQuery))
	b.shows(".log.stdout .line.at", "54321")
	b.shows(".log.stdout .bar", "1 of 1")
	b.picture("execution")
}

func (b *browser) uploadsAPack(c *client.Client) {
	b.t.Helper()
	archive := filepath.Join(b.t.TempDir(), "mine.tar.gz")
	file, err := os.Create(archive)
	if err != nil {
		b.t.Fatal(err)
	}
	packed := gzip.NewWriter(file)
	entries := tar.NewWriter(packed)
	for name, text := range map[string]string{
		"pack.yaml":       "ref: mine\nlabel: Mine\nversion: 1.0.0\n",
		"actions/hi.yaml": "ref: mine.hi\nrunner_type: shell\nentry_point: hi.sh\nparameters:\n  pin: {type: string, secret: true}\n",
		"actions/hi.sh":   "echo hi\n",
	} {
		if err := entries.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))}); err != nil {
			b.t.Fatal(err)
		}
		if _, err := entries.Write([]byte(text)); err != nil {
			b.t.Fatal(err)
		}
	}
	for _, closes := range []interface{ Close() error }{entries, packed, file} {
		if err := closes.Close(); err != nil {
			b.t.Fatal(err)
		}
	}
	b.open("/packs")
	b.click("#upload")
	b.shows("#faults", "Choose a .tar.gz archive")
	b.do(chromedp.SetUploadFiles("#archive", []string{archive}, chromedp.ByQuery))
	b.click("#upload")
	b.shows("table", "mine")
	b.picture("packs")
	b.open("/actions/mine.hi")
	b.until(`document.querySelector("#p-pin").type === "password"`)
	b.open("/packs")
	b.click("button.danger")
	b.until(`!document.querySelector("table").innerText.includes("mine")`)
	if packs, err := c.Packs(b.t.Context()); err != nil || len(packs) != 1 {
		b.t.Errorf("%v %v", packs, err)
	}
}

// listsKeys shows what keys there are, and no value.
func (b *browser) listsKeys(c *client.Client) {
	b.t.Helper()
	const value = "never-to-be-shown"
	if _, err := c.SetKey(b.t.Context(), attune.KeyID{Owner: attune.OwnerPack, Of: "core", Name: "api_key"}, []byte(value), false); err != nil {
		b.t.Fatal(err)
	}
	b.open("/keys")
	b.shows("table", "api_key")
	b.shows("table", "pack core")
	b.until(fmt.Sprintf(`!document.documentElement.innerHTML.includes(%q)`, value))
	b.picture("keys")
}

// filtersByText finds by a part of an action's name.
func (b *browser) filtersByText() {
	b.t.Helper()
	b.do(chromedp.SendKeys(`input[name="text"]`, "core.sl", chromedp.ByQuery))
	b.click(".filters button")
	b.until(`location.search === "?text=core.sl"`)
	b.shows("table", "core.sleep")
	b.until(`!document.querySelector("table").innerText.includes("core.noop")`)
}

// managesTokens creates a token, which lets in, and revokes it.
func (b *browser) managesTokens(c *client.Client) {
	b.t.Helper()
	b.click(`nav a[href="/tokens"]`)
	b.do(chromedp.WaitVisible("#create-token"), chromedp.SendKeys("#token-name", "from a page", chromedp.ByQuery),
		chromedp.SendKeys("#token-packs", "core, web", chromedp.ByQuery), chromedp.SendKeys("#token-days", "30", chromedp.ByQuery))
	b.click("#create-token")
	b.shows("table", "from a page")
	b.shows("table", "core, web")
	var secret string
	b.do(chromedp.Text("#made code", &secret, chromedp.ByQuery))
	one := client.New(client.Config{BaseURL: b.url, Token: secret})
	defer one.Close()
	if caller, err := one.Caller(b.t.Context()); err != nil || caller.Role != attune.RoleViewer || len(caller.Packs) != 2 {
		b.t.Errorf("%+v %v", caller, err)
	}
	b.open("/tokens") // where the secret part is shown no more
	b.shows("table", "from a page")
	b.until(fmt.Sprintf(`!document.documentElement.innerHTML.includes(%q)`, secret))
	b.picture("tokens")
	tokens, err := c.Tokens(b.t.Context())
	if err != nil || len(tokens) != 1 || tokens[0].ExpiresAt == nil {
		b.t.Fatalf("%+v %v", tokens, err)
	}
	b.do(chromedp.Evaluate("window.confirm = () => true", nil))
	b.click("table button.danger")
	b.shows("main", "There are no tokens")
	if _, err := one.Caller(b.t.Context()); attune.ErrorCode(err) != attune.CodeNoToken {
		b.t.Errorf("it still lets in: %v", err)
	}
}

// readsTheAuditLog looks for what this test has done.
func (b *browser) readsTheAuditLog() {
	b.t.Helper()
	b.click(`nav a[href="/audit"]`)
	for _, done := range []string{"token revoked", "from a page", "key set", "execution cancelled", "pack installed", "local token"} {
		b.shows("table", done)
	}
	b.picture("audit")
}

// drains ends the worker, which is as long as it runs something.
func (b *browser) drains(s *system) {
	b.t.Helper()
	id := b.submit(s.Client, client.Submission{Action: "core.sleep", Parameters: []byte(`{"seconds": 1000}`)})
	b.becomes(s.Client, id, attune.StatusRunning)
	b.open("/workers")
	b.shows("table", "1 of ")
	b.click(`[data-verb="cordon"]`)
	b.shows("table .status", "cordoned")
	b.click(`[data-verb="uncordon"]`)
	b.shows("table .status", "active")
	b.picture("workers")
	b.click(`[data-verb="drain"]`)
	b.shows("table .status", "draining")
	if worker, err := s.Worker(b.t.Context(), "w"); err != nil || worker.Status != attune.WorkerDraining {
		b.t.Errorf("%+v %v", worker, err)
	}
}
