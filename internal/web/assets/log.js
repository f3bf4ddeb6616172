// What an execution writes, as it writes it. All lines are kept, but only those in sight are in the page.
import { h, report } from "./dom.js";
import { open } from "./api.js";
import { paint, after } from "./ansi.js";

const lineHeight = 18, spare = 20, widest = 5000;

export function logs(id, attempt, signal) {
  const streams = ["stdout", "stderr"].map((name) => view(id, attempt, name, signal));
  const box = h("div", { class: "logs both" }, streams);
  const choose = (chosen, button) => {
    box.className = "logs " + chosen;
    for (const b of choice.querySelectorAll("button")) b.setAttribute("aria-pressed", String(b === button));
    for (const s of streams) s.dispatchEvent(new Event("redraw"));
  };
  const choice = h("div", { class: "buttons", role: "group", "aria-label": "Shown output" },
    ["both", "stdout", "stderr"].map((name) => h("button", { type: "button", "aria-pressed": String(name === "both"),
      onclick: (event) => choose(name, event.currentTarget) }, name === "both" ? "Side by side" : name)));
  return h("div", {}, h("div", { class: "heading" }, h("h2", {}, "Output, attempt " + attempt), choice), box);
}

function view(id, attempt, name, signal) {
  const lines = []; // { text, style: as the line begins }
  let rest = "", style = "", ended = false, follow = true, term = "", found = [], at = -1;
  const shown = h("div", { class: "lines" }), space = h("div", { class: "space" }, shown);
  const port = h("div", { class: "port", tabindex: "0", role: "log", "aria-label": name, "aria-live": "off" }, space);
  const state = h("span", { class: "hint" });
  const search = h("input", { type: "search", placeholder: "Search " + name, "aria-label": "Search " + name });
  const matches = h("span", { class: "hint" });
  const box = h("section", { class: "log " + name }, h("div", { class: "bar" }, h("b", {}, name), state, search, matches,
    h("a", { class: "button", download: `execution-${id}-${name}.log`, href: `/api/v1/executions/${id}/logs/${name}?attempt=${attempt}` }, "Download")), port);

  let drawing = false;
  const draw = () => {
    if (drawing) return;
    drawing = true;
    requestAnimationFrame(() => {
      drawing = false;
      const total = lines.length + (rest === "" ? 0 : 1);
      space.style.height = total * lineHeight + "px";
      if (follow) port.scrollTop = port.scrollHeight;
      const first = Math.max(0, Math.floor(port.scrollTop / lineHeight) - spare);
      const last = Math.min(total, first + Math.ceil(port.clientHeight / lineHeight) + 2 * spare);
      shown.style.top = first * lineHeight + "px";
      const rows = [];
      for (let n = first; n < last; n++) rows.push(line(n));
      shown.replaceChildren(...rows);
      state.textContent = total + (total === 1 ? " line" : " lines") + (ended ? "" : ", live");
    });
  };
  const line = (n) => {
    const { text, style: begins } = lines[n] ?? { text: rest, style };
    const cut = text.length > widest ? text.slice(0, widest) : text;
    const hit = term !== "" && text.toLowerCase().includes(term);
    return h("div", { class: "line" + (hit ? " hit" : "") + (found[at] === n ? " at" : "") }, h("span", { class: "number" }, String(n + 1)),
      paint(cut.slice(cut.lastIndexOf("\r", cut.length - 2) + 1), begins),
      cut === text ? null : h("span", { class: "hint" }, ` … ${text.length - widest} more characters: download them`));
  };
  const add = (text) => {
    const parts = (rest + text).split("\n");
    rest = parts.pop();
    for (const part of parts) {
      if (term !== "" && part.toLowerCase().includes(term)) found.push(lines.length);
      lines.push({ text: part, style });
      style = after(part, style);
    }
    count();
    draw();
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
  box.addEventListener("redraw", draw);
  read(`executions/${id}/logs/${name}?follow=1&attempt=${attempt}`, signal, add, (why) => { state.textContent = why; })
    .then(() => { ended = true; draw(); }, (error) => { ended = true; draw(); report(error); });
  return box;
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
