// The list of executions, with filters and pages.
import { h, link, status, table, when, duration, update } from "./dom.js";
import { get } from "./api.js";

const statuses = ["requested", "scheduled", "running", "canceling", "completed", "failed", "timeout", "cancelled", "abandoned"];

export const columns = ["ID", "Action", "Status", "Worker", "Created", "Took", "Why"];
export const row = (e) => [
  link("/executions/" + e.id, String(e.id)), link("/actions/" + encodeURIComponent(e.action), e.action), status(e.status),
  e.worker ?? "–", when(e.created_at), duration(e.duration_ms), e.waiting_for?.message ?? e.error?.message ?? "",
];

export async function show(box, { query, signal, go }) {
  const field = (name, label) => h("label", {}, label, h("input", { name, type: name === "action" ? "search" : "text", value: query.get(name) ?? "" }));
  const form = h("form", { class: "filters", onsubmit: (event) => {
    event.preventDefault();
    const chosen = new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== ""));
    go("/executions" + (chosen.size ? "?" + chosen : ""));
  } },
    h("label", {}, "Status", h("select", { name: "status", onchange: () => form.requestSubmit() }, h("option", { value: "" }, "any"),
      statuses.map((s) => h("option", { selected: query.get("status") === s }, s)))),
    field("action", "Action"), field("pack", "Pack"), field("worker", "Worker"), field("text", "Text"), field("parent", "Started by"), h("button", {}, "Filter"));
  const list = h("div"), pages = h("p", { class: "pages" });
  box.append(h("h1", {}, "Executions"), form, list, pages);
  const asked = new URLSearchParams([...query].filter(([name]) => ["status", "action", "pack", "worker", "text", "parent", "cursor"].includes(name)));
  const load = async () => {
    const page = await get("executions?" + asked, signal);
    const none = page.incomplete ? "None of the newest that were looked at is like this: look at older ones." : "No execution is like this.";
    update(list, table(columns, page.items.map(row), none));
    const first = new URLSearchParams(asked), next = new URLSearchParams(asked);
    first.delete("cursor");
    next.set("cursor", page.next_cursor);
    update(pages, ...(query.get("cursor") ? [link("/executions?" + first, "Newest"), " "] : []),
      ...(page.next_cursor ? [link("/executions?" + next, "Older")] : []));
  };
  await load();
  return load;
}
