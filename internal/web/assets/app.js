// Routing by path, and the stream of changes that keeps the shown page up to date.
import { h, report } from "./dom.js";
import { get } from "./api.js";
import * as overview from "./overview.js";
import * as executions from "./executions.js";
import * as execution from "./execution.js";
import * as actions from "./actions.js";
import * as action from "./action.js";
import * as inventory from "./inventory.js";
import * as access from "./access.js";

const routes = [
  [/^\/$/, "Overview", overview.show],
  [/^\/executions$/, "Executions", executions.show],
  [/^\/executions\/([0-9]+)$/, "Execution", execution.show],
  [/^\/actions$/, "Actions", actions.show],
  [/^\/actions\/([^/]+)$/, "Action", action.show],
  [/^\/packs$/, "Packs", inventory.packs],
  [/^\/workers$/, "Workers", inventory.workers],
  [/^\/keys$/, "Keys", inventory.keys],
  [/^\/tokens$/, "Tokens", access.tokens],
  [/^\/audit$/, "Audit log", access.audit],
];

const main = document.getElementById("main");
let page = null; // { leave: AbortController, changed }

// go shows another page without loading the document again.
export function go(to) {
  history.pushState(null, "", to);
  show();
  main.focus({ preventScroll: true });
  scrollTo(0, 0);
}

async function show() {
  page?.leave.abort();
  const mine = (page = { leave: new AbortController(), changed: null });
  document.getElementById("faults").replaceChildren();
  for (const a of document.querySelectorAll("nav a")) {
    if (location.pathname.startsWith(a.getAttribute("href"))) a.setAttribute("aria-current", "page");
    else a.removeAttribute("aria-current");
  }
  const found = routes.find(([pattern]) => pattern.test(location.pathname));
  if (!found) return main.replaceChildren(h("h1", {}, "There is nothing here"));
  const [pattern, title, render] = found;
  const part = pattern.exec(location.pathname)[1];
  const box = h("div", { class: "page" });
  main.replaceChildren(box);
  document.title = (part ? decodeURIComponent(part) + " · " : "") + title + " · Attune";
  try {
    mine.changed = await render(box, {
      part: part && decodeURIComponent(part), query: new URLSearchParams(location.search), signal: mine.leave.signal, go,
    });
    box.dataset.ready = "";
  } catch (error) {
    report(error);
  }
}

// changed tells the page; many changes at once are one.
const pending = new Set();
let soon = null;
function changed(id) {
  pending.add(id);
  soon ??= setTimeout(async () => {
    const ids = new Set(pending);
    pending.clear();
    soon = null;
    try { await page?.changed?.(ids); } catch (error) { report(error); }
  }, 200);
}

// The stream is closed while nobody looks: browsers have six connections to a server in all.
let events = null;
const live = document.getElementById("live");
function listen() {
  if (document.hidden) {
    events?.close();
    events = null;
    return;
  }
  if (events) return;
  events = new EventSource("/api/v1/events");
  events.onopen = () => { live.textContent = "live"; changed(0); }; // 0: anything may have changed
  for (const name of ["requested", "scheduled", "status"]) {
    events.addEventListener(name, (event) => changed(JSON.parse(event.data).execution_id));
  }
  events.addEventListener("reset", () => changed(0)); // some may be missing
  events.onerror = () => {
    live.textContent = "not live: connecting again…";
    if (events?.readyState !== EventSource.CLOSED) return; // it does so by itself
    events = null;
    get("version").then(() => setTimeout(listen, 2000), (error) => { report(error); setTimeout(listen, 5000); });
  };
}
document.addEventListener("visibilitychange", listen);

document.addEventListener("click", (event) => {
  const a = event.target.closest("a[href]");
  if (!a || a.hasAttribute("download") || a.target || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  if (!routes.some(([pattern]) => pattern.test(a.pathname)) || a.origin !== location.origin) return;
  event.preventDefault();
  go(a.getAttribute("href"));
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.target.closest("input, textarea, select") || event.ctrlKey || event.metaKey) return;
  const search = document.querySelector("input[type=search]");
  if (search) { event.preventDefault(); search.focus(); }
});
addEventListener("popstate", show);
addEventListener("unhandledrejection", (event) => report(event.reason));
show();
listen();

// Pages that the token does not reach are not offered; the server refuses them in any case.
get("caller").then((caller) => {
  const all = caller.role === "admin" && caller.packs.length === 0;
  for (const a of document.querySelectorAll("nav a[data-for=all]")) a.hidden = !all;
  document.documentElement.dataset.role = caller.role; // what needs more is out of sight: data-needs
  document.getElementById("caller").textContent = caller.name;
}, report);
