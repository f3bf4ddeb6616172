// Building the page. Everything that comes from outside becomes text, never markup.

// h makes an element: properties beginning with "on" are listeners, others attributes; children are nodes or text.
export function h(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

// svg is h for charts.
export function svg(tag, properties = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), properties, children);
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const link = (to, text = to) => h("a", { href: to }, text);
export const status = (name) => h("span", { class: "status " + name }, name);

// table shows rows of cells; on a phone each cell bears its column's name.
export function table(columns, rows, none) {
  if (rows.length === 0) return h("p", { class: "hint" }, none);
  return h("table", {},
    h("thead", {}, h("tr", {}, columns.map((c) => h("th", { scope: "col" }, c)))),
    h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((cell, i) => h("td", { "data-column": columns[i] }, cell))))));
}

// when shows a time, and how long ago it was.
export function when(text) {
  if (!text) return "–";
  return h("time", { datetime: text, title: new Date(text).toISOString() }, new Date(text).toLocaleString());
}

export function age(text) {
  const seconds = Math.max(0, Math.round((Date.now() - new Date(text)) / 1000));
  if (seconds < 120) return seconds + " s";
  if (seconds < 7200) return Math.floor(seconds / 60) + " min";
  return Math.floor(seconds / 3600) + " h";
}

export function duration(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 1000) return Math.round(ms) + " ms";
  if (ms < 60000) return (ms / 1000).toFixed(1) + " s";
  return Math.floor(ms / 60000) + " min " + Math.round((ms % 60000) / 1000) + " s";
}

export function bytes(n) {
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (n < 1024 || unit === "GiB") return (unit === "B" ? n : n.toFixed(1)) + " " + unit;
    n /= 1024;
  }
  return "";
}

// report tells the user of a failure, until it is dismissed or the page changes.
export function report(error) {
  if (error.name === "AbortError") return; // we left the page ourselves
  const text = [error.message, ...(error.fields ?? []).map((f) => f.location + ": " + f.message)].join(" · ");
  const faults = document.getElementById("faults");
  for (const shown of faults.children) if (shown.dataset.text === text) return;
  const line = h("p", { class: "fault", "data-text": text }, text + " ",
    h("button", { class: "quiet", onclick: () => line.remove() }, "Dismiss"));
  faults.append(line);
}

// act runs what a button asks for: it can't be pressed twice, and a failure is shown.
export function act(label, what, properties = {}) {
  const button = h("button", { type: "button", ...properties, onclick: async () => {
    button.disabled = true;
    try { await what(); } catch (error) { report(error); } finally { button.disabled = false; }
  } }, label);
  return button;
}
