package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/attune-automation/attune"
	"github.com/attune-automation/attune/client"
	"github.com/attune-automation/attune/internal/testserver"
)

// TestPagesOfSeveralMachines looks at a server whose worker is elsewhere, over a connection that breaks.
func TestPagesOfSeveralMachines(t *testing.T) {
	t.Parallel()
	h := newHost(t, production, "ATTUNE__WORKER__MAX_OUTPUT_BYTES=16KiB")
	s := elsewhere(h)
	way, url := testserver.Through(t, s.url)
	b := h.browse(&system{Client: s.Client, url: url})
	token, err := os.ReadFile(filepath.Join(h.dir, "token"))
	if err != nil {
		t.Fatal(err)
	}
	id := h.submit(s.Client, script(`echo one; echo two >&2; until [ -e "$PARAM_HOLD" ]; do sleep 0.05; done; echo three`,
		map[string]string{"hold": h.hold}))
	b.logIn(fmt.Sprintf("/executions/%d", id), strings.TrimSpace(string(token))) // and on to where it was to lead
	b.comesBack(way)
	b.keepsTheOrder()
	b.showsGaps(s.Client)
	b.choosesAttempts(s.Client)
	b.givesAnEmptyText(s.Client)
	b.turnsPages(s.Client)
	b.fitsEverywhere(id)
	b.logsOut()
	b.clean()
}

// comesBack breaks the connection under a log that is written, and counts the lines.
func (b *browser) comesBack(way *testserver.Proxy) {
	b.t.Helper()
	b.shows(".log.stdout .lines", "one")
	b.shows(".log.stderr .lines", "two")
	b.click(`.heading button:nth-of-type(4)`)
	b.until(`getComputedStyle(document.querySelector(".log.stdout")).display === "none"`)
	b.shows(".log.together .lines", "one")
	b.until(`document.querySelector(".log.together .of-stderr").innerText.includes("two")`)
	b.expected = append(b.expected, "ERR_CONNECTION_", "ERR_EMPTY_RESPONSE", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_SOCKET_NOT_CONNECTED")
	if way.Cut() == 0 {
		b.t.Error("there was no connection")
	}
	b.shows(".log.together .bar", "broken off")
	way.Restore()
	if err := os.WriteFile(b.hold, nil, 0o600); err != nil {
		b.t.Fatal(err)
	}
	b.shows(".log.together .lines", "three")
	b.shows(".heading .status", "completed") // told by the stream of events, which has come back, too
	b.until(`document.querySelector(".log.together .bar").innerText.includes("3 lines")`)
	b.until(`!document.querySelector(".log.together .bar").innerText.includes("live")`)
}

// keepsTheOrder opens the page of the execution again, which has written its third line when its second one had been seen.
func (b *browser) keepsTheOrder() {
	b.t.Helper()
	b.do(chromedp.Reload())
	b.shows(".log.stdout .lines", "three")
	b.click(`.heading button:nth-of-type(4)`)
	b.until(`[...document.querySelectorAll(".log.together .line")].at(2)?.innerText.includes("three")`)
	b.until(`document.querySelector(".log.together .bar").innerText.trim().startsWith("together") && document.querySelectorAll(".log.together .of-stderr").length === 1`)
}

func (b *browser) showsGaps(c *client.Client) {
	b.t.Helper()
	id := b.submit(c, script("yes | head -c 100000", nil))
	b.becomes(c, id, attune.StatusCompleted)
	b.open(fmt.Sprintf("/executions/%d", id))
	b.shows(".log.stdout .bar", "were not kept")
	b.until(`!document.querySelector(".log.stdout .bar").innerText.includes("live")`)
	b.do(chromedp.SendKeys(`input[aria-label="Search stdout"]`, "bytes are missing", chromedp.ByQuery))
	b.shows(".log.stdout .line.gap.at", "bytes are missing here")
}

// own installs a pack with an action that fails once, and one that takes a text.
func (b *browser) own() {
	b.t.Helper()
	dir := filepath.Join(b.root, "own")
	for name, text := range map[string]string{
		"pack.yaml":          "ref: own\nlabel: Own\nversion: 1.0.0\n",
		"actions/twice.yaml": "ref: own.twice\nrunner_type: shell\nentry_point: twice.sh\nretry: {max_attempts: 2, delay: 1ms}\n",
		"actions/twice.sh":   "echo this is attempt \"$ATTUNE_ATTEMPT\"; [ \"$ATTUNE_ATTEMPT\" = 2 ]\n",
		"actions/say.yaml":   "ref: own.say\nrunner_type: shell\nentry_point: say.sh\nparameters:\n  text: {type: string, default: something}\n",
		"actions/say.sh":     "echo \"[$PARAM_TEXT]\"\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			b.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			b.t.Fatal(err)
		}
	}
	b.attune(0, "pack", "install", dir)
}

func (b *browser) choosesAttempts(c *client.Client) {
	b.t.Helper()
	b.own()
	id := b.submit(c, client.Submission{Action: "own.twice"})
	b.becomes(c, id, attune.StatusCompleted)
	b.open(fmt.Sprintf("/executions/%d", id))
	b.shows(".log.stdout .lines", "this is attempt 2")
	b.do(chromedp.SetValue("#attempt", "1", chromedp.ByQuery), chromedp.Evaluate(`document.querySelector("#attempt").dispatchEvent(new Event("change"))`, nil))
	b.shows(".log.stdout .lines", "this is attempt 1")
}

// givesAnEmptyText runs with the default, and with nothing in its place.
func (b *browser) givesAnEmptyText(c *client.Client) {
	b.t.Helper()
	b.open("/actions/own.say")
	b.until(`document.querySelector("#p-text").value === "something" && document.querySelector(".empty").hidden`)
	b.do(chromedp.Evaluate(`{ const text = document.querySelector("#p-text"); text.value = ""; text.dispatchEvent(new Event("input")); }`, nil))
	b.click("#p-text-empty")
	b.click("#run")
	b.shows(".log.stdout .lines", "[]")
	b.shows("#parameters", `text: ""`)
}

func (b *browser) turnsPages(c *client.Client) {
	b.t.Helper()
	var ids []int64
	for range 60 {
		ids = append(ids, b.submit(c, client.Submission{Action: "core.noop"}))
	}
	for _, id := range ids { // or the first one is not the newest for long
		b.becomes(c, id, attune.StatusCompleted)
	}
	first := `document.querySelector("tbody td").innerText`
	b.open("/executions")
	b.staysOnALink(c)
	var newest, older string
	b.do(chromedp.Evaluate(first, &newest))
	b.click(".pages a")
	b.until(`location.search.includes("cursor=") && document.querySelector(".pages").innerText.includes("Newest")`)
	b.do(chromedp.Evaluate(first, &older))
	if newest == older {
		b.t.Errorf("both pages begin with %s", newest)
	}
	b.do(chromedp.Evaluate(`document.activeElement.blur()`, nil), input.DispatchKeyEvent(input.KeyRawDown).WithKey("/"))
	b.until(`document.activeElement.name === "action"`)
	b.do(chromedp.KeyEvent("own.say"))
	b.until(`document.activeElement.value === "own.say"`)
	b.do(chromedp.KeyEvent(kb.Enter))
	b.until(`location.search === "?action=own.say"`)
	b.shows("table", "own.say")
}

// staysOnALink has the keyboard on a link of a list that gets longer: who goes through it, or presses a row just then, must not
// lose the place.
func (b *browser) staysOnALink(c *client.Client) {
	b.t.Helper()
	b.until(`(window.place = document.querySelector("tbody tr:nth-child(3) a")) !== null`)
	b.do(chromedp.Evaluate("window.place.focus()", nil))
	id := b.submit(c, client.Submission{Action: "core.noop"})
	b.becomes(c, id, attune.StatusCompleted)
	b.until(fmt.Sprintf(`document.querySelector("tbody tr").innerText.includes("%d") && document.querySelector("tbody .status").innerText === "completed"`, id))
	b.until(`window.place.isConnected && document.activeElement === window.place && window.place === document.querySelector("tbody tr:nth-child(4) a")`)
}

// fitsEverywhere looks at all pages on a phone, in the dark: nothing is wider than the screen, and all can be read.
func (b *browser) fitsEverywhere(id int64) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(390, 844), emulation.SetEmulatedMedia().WithFeatures(
		[]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}))
	for _, path := range []string{
		"/", "/executions", fmt.Sprintf("/executions/%d", id), "/actions", "/actions/core.http_request", "/packs", "/workers", "/keys", "/tokens", "/audit",
	} {
		b.open(path)
		var wide int
		var contrast float64
		b.do(chromedp.Evaluate("document.documentElement.scrollWidth", &wide), chromedp.Evaluate(leastContrast, &contrast))
		if wide > 390 {
			b.t.Errorf("%s is %d pixels wide on a phone", path, wide)
		}
		if contrast < 4.5 { // WCAG 2.2, 1.4.3
			b.t.Errorf("%s has text with a contrast of %.1f in the dark", path, contrast)
		}
	}
	b.picture("phone")
	b.do(chromedp.EmulateViewport(1280, 900), emulation.SetEmulatedMedia())
}

// leastContrast is that of the texts in sight, by the formula of WCAG 2.2.
const leastContrast = `(() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const over = (colours) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  let least = 21;
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (texts.currentNode.data.trim() === "" || !element.checkVisibility({ checkOpacity: true }) || element.closest("noscript, [disabled], .number, option, .skip")) continue;
    const grounds = [];
    for (let e = element; e; e = e.parentElement) grounds.unshift(getComputedStyle(e).backgroundColor);
    const ground = light(over(grounds)), ink = light(over([...grounds, getComputedStyle(element).color]));
    least = Math.min(least, (Math.max(ground, ink) + 0.05) / (Math.min(ground, ink) + 0.05));
  }
  return least;
})()`

// logsOut ends the session: its pages are behind the login again.
func (b *browser) logsOut() {
	b.t.Helper()
	b.open("/workers")
	b.do(chromedp.Submit(`header form`, chromedp.ByQuery), chromedp.WaitVisible("#token"))
	b.do(chromedp.Navigate(b.url+"/workers"), chromedp.WaitVisible("#token"))
	b.until(`location.pathname === "/login" && location.search.includes("workers")`)
}
