// What an execution writes, as it writes it. All lines are kept, but only those in sight are in the page.
import { h, bytes, report } from "./dom.js";
import { get, open } from "./api.js";
import { paint, after } from "./ansi.js";

const lineHeight = 18, spare = 20, widest = 5000;

// A line that the worker wrote where it has dropped some.
const gap = /^\[attune: \d+ bytes are missing here\]$/;

// logs shows what an attempt of an execution writes: side by side, one stream alone, or both together. While it is written
// they stand there as they arrive, and when it has ended as the worker has seen them.
export function logs(e, attempt, live, signal) {
  const panels = { stdout: panel(e.id, attempt, "stdout"), stderr: panel(e.id, attempt, "stderr"), together: panel(e.id, attempt, "together") };
  let due = !live, shown = "both"; // due: the attempt has ended, and its logs are not together yet
  const together = () => {
    if (!due || shown !== "together") return;
    due = false;
    weave(e.id, attempt, panels.together, live, signal).catch(report);
  };
  const box = h("div", { class: "logs both" }, Object.values(panels).map((p) => p.box));
  const choose = (chosen, button) => {
    box.className = "logs " + chosen;
    for (const b of choice.querySelectorAll("button")) b.setAttribute("aria-pressed", String(b === button));
    for (const p of Object.values(panels)) p.draw();
    shown = chosen;
    together();
  };
  const names = { both: "Side by side", stdout: "stdout", stderr: "stderr", together: "Together" };
  const choice = h("div", { class: "buttons", role: "group", "aria-label": "Shown output" }, Object.entries(names).map(([name, label]) =>
    h("button", { type: "button", "aria-pressed": String(name === "both"), onclick: (event) => choose(name, event.currentTarget) }, label)));
  const ends = ["stdout", "stderr"].map((name) => {
    const to = live ? [panels[name], panels.together] : [panels[name]];
    return read(`executions/${e.id}/logs/${name}?follow=1&attempt=${attempt}`, signal,
      (text) => to.forEach((p) => p.add(name, text)), (why) => to.forEach((p) => p.tell(why)))
      .then(() => panels[name].end(), (error) => { panels[name].end(); report(error); });
  });
  if (live) Promise.all(ends).then(() => { panels.together.end(); due = !signal.aborted; together(); });
  return { element: h("div", {}, h("div", { class: "heading" }, h("h2", {}, "Output"), choice), box), dropped: (name, n) => panels[name].dropped(n) };
}

// panel shows lines: of one stream, or of both together.
function panel(id, attempt, name) {
  const lines = []; // { text, style: as the line begins, from: its stream }
  const rest = { stdout: "", stderr: "" }, style = { stdout: "", stderr: "" };
  let ended = false, follow = true, term = "", found = [], at = -1, missing = 0, remark = "";
  const shown = h("div", { class: "lines" }), space = h("div", { class: "space" }, shown);
  const port = h("div", { class: "port", tabindex: "0", role: "log", "aria-label": name, "aria-live": "off" }, space);
  const state = h("span", { class: "hint" });
  const search = h("input", { type: "search", placeholder: "Search " + name, "aria-label": "Search " + name });
  const matches = h("span", { class: "hint" });
  const box = h("section", { class: "log " + name }, h("div", { class: "bar" }, h("b", {}, name), state, search, matches,
    name === "together" ? null :
      h("a", { class: "button", download: `execution-${id}-${name}.log`, href: `/api/v1/executions/${id}/logs/${name}?attempt=${attempt}` }, "Download")), port);

  const open = () => Object.keys(rest).filter((from) => rest[from] !== "").map((from) => ({ text: rest[from], style: style[from], from }));
  let drawing = false;
  const draw = () => {
    if (drawing) return;
    drawing = true;
    requestAnimationFrame(() => {
      drawing = false;
      const tail = open(), total = lines.length + tail.length;
      space.style.height = total * lineHeight + "px";
      if (follow) port.scrollTop = port.scrollHeight;
      const first = Math.max(0, Math.floor(port.scrollTop / lineHeight) - spare);
      const last = Math.min(total, first + Math.ceil(port.clientHeight / lineHeight) + 2 * spare);
      shown.style.top = first * lineHeight + "px";
      const rows = [];
      for (let n = first; n < last; n++) rows.push(line(n, lines[n] ?? tail[n - lines.length]));
      shown.replaceChildren(...rows);
      state.textContent = total + (total === 1 ? " line" : " lines") + (ended ? "" : ", live") + (missing ? `, ${bytes(missing)} were not kept` : "") + remark;
    });
  };
  const line = (n, { text, style: begins, from }) => {
    const cut = text.length > widest ? text.slice(0, widest) : text;
    const hit = term !== "" && text.toLowerCase().includes(term);
    const classes = ["line", hit ? "hit" : "", found[at] === n ? "at" : "", name === "together" ? "of-" + from : "", gap.test(text) ? "gap" : ""];
    return h("div", { class: classes.filter(Boolean).join(" ") }, h("span", { class: "number" }, String(n + 1)),
      paint(cut.slice(cut.lastIndexOf("\r", cut.length - 2) + 1), begins),
      cut === text ? null : h("span", { class: "hint" }, ` … ${text.length - widest} more characters: download them`));
  };
  const count = () => { matches.textContent = term === "" ? "" : `${found.length ? at + 1 : 0} of ${found.length}`; };
  const step = (by) => {
    if (found.length === 0) return;
    at = (at + by + found.length) % found.length;
    follow = false;
    port.scrollTop = Math.max(0, found[at] * lineHeight - port.clientHeight / 2);
    count();
    draw();
  };
  search.addEventListener("input", () => {
    term = search.value.toLowerCase();
    found = term === "" ? [] : lines.flatMap((l, n) => (l.text.toLowerCase().includes(term) ? [n] : []));
    at = -1;
    step(1);
    count();
    draw();
  });
  search.addEventListener("keydown", (event) => { if (event.key === "Enter") step(event.shiftKey ? -1 : 1); });
  port.addEventListener("scroll", () => {
    follow = port.scrollTop + port.clientHeight >= port.scrollHeight - lineHeight;
    draw();
  });
  return {
    box, draw,
    clear() {
      lines.length = found.length = 0;
      for (const from of Object.keys(rest)) rest[from] = style[from] = "";
    },
    add(from, text) {
      const parts = (rest[from] + text).split("\n");
      rest[from] = parts.pop();
      for (const part of parts) {
        if (term !== "" && part.toLowerCase().includes(term)) found.push(lines.length);
        lines.push({ text: part, style: style[from], from });
        style[from] = after(part, style[from]);
      }
      count();
      draw();
    },
    tell(why) { state.textContent = why; },
    end(why = "") { ended = true; remark = why; draw(); },
    dropped(n) { missing = n; draw(); },
  };
}

// weave fills a panel with both logs of an attempt that has ended. Where nobody knows their order, one that has seen them
// arrive keeps them as they came.
async function weave(id, attempt, to, arrived, signal) {
  const { turns } = await get(`executions/${id}/logs/order?attempt=${attempt}`, signal);
  if (turns.length === 0 && arrived) return;
  const names = ["stdout", "stderr"], decoders = names.map(() => new TextDecoder());
  const rest = await Promise.all(names.map(async (name) =>
    new Uint8Array(await (await open(`executions/${id}/logs/${name}?attempt=${attempt}`, { signal })).arrayBuffer())));
  const sizes = rest.map((r) => r.length);
  to.clear();
  [...turns, Infinity, Infinity].forEach((n, turn) => { // turns are even or odd in number: what is left has both a last one
    const from = turn % 2;
    to.add(names[from], decoders[from].decode(rest[from].subarray(0, n), { stream: true }));
    rest[from] = rest[from].subarray(n);
  });
  to.end(turns.length === 0 && sizes.every((n) => n > 0) ? ": stdout, then stderr, as nobody has seen their order" : "");
}

// read gives text as it comes, until the attempt has ended. A stream that breaks off goes on where it was.
async function read(path, signal, add, tell) {
  const decoder = new TextDecoder();
  let offset = 0;
  for (let failures = 0; ; ) {
    try {
      const reader = (await open(`${path}&offset=${offset}`, { signal })).body.getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) {
          add(decoder.decode());
          return;
        }
        offset += value.length;
        failures = 0;
        add(decoder.decode(value, { stream: true }));
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error.status && error.status !== 503) throw error;
      failures++;
      tell("broken off: connecting again…");
      await new Promise((resolve) => setTimeout(resolve, Math.min(10000, 500 * 2 ** failures)));
      if (signal.aborted) return;
    }
  }
}
