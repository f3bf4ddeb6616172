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

// update makes these the children of a box. What is as it was stays in its place: pages change by themselves, and what
// somebody presses, has marked or has the keyboard on must outlive that.
export function update(box, ...children) {
  let at = box.firstChild;
  const drop = (until) => {
    while (at !== until) {
      const gone = at;
      at = at.nextSibling;
      gone.remove();
    }
  };
  for (const child of children) {
    if (child === null || child === undefined) continue;
    const fresh = typeof child === "string" ? document.createTextNode(child) : child;
    let kept = at;
    while (kept && !same(kept, fresh)) kept = kept.nextSibling;
    if (!kept && at && alike(at, fresh)) {
      update(at, ...fresh.childNodes);
      kept = at;
    }
    if (kept) {
      drop(kept);
      at = kept.nextSibling;
    } else {
      box.insertBefore(fresh, at);
    }
  }
  drop(null);
}

// data-same is for what somebody may have changed, as a tree that is folded: what has the same one is the same.
const same = (old, fresh) => old.isEqualNode(fresh) || (old.dataset?.same !== undefined && old.dataset.same === fresh.dataset?.same);

// alike tells whether two are the same box, of other things. A row is none: one that is about something else is another row.
const boxes = ["DIV", "SECTION", "TABLE", "TBODY", "UL", "OL", "DL"];
const alike = (old, fresh) => boxes.includes(old.tagName) && old.cloneNode(false).isEqualNode(fresh.cloneNode(false));

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
