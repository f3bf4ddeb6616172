// One execution: how it went, what it was given, what came of it, and what it writes.
import { h, act, link, status, when, duration, bytes, report, update } from "./dom.js";
import { get, post } from "./api.js";
import { tree } from "./tree.js";
import { logs } from "./log.js";

const final = (e) => ["completed", "failed", "timeout", "cancelled", "abandoned"].includes(e.status);

export async function show(box, { part: id, signal, go }) {
  const head = h("div"), facts = h("div"), attempts = h("div"), place = h("section", { "aria-label": "Output" }), left = h("section");
  box.append(head, facts, attempts, place, left);
  let shown = 0, chosen = null, output = null; // the attempt whose output is shown, the one that was asked for, and the output
  let offered = 0; // attempts to choose from
  let reading = null; // ends when another attempt is chosen
  const load = async (ids) => {
    if (ids && !ids.has(Number(id)) && !ids.has(0)) return;
    const e = await get("executions/" + id, signal);
    update(head, heading(e, load, go));
    update(facts, timeline(e), details(e));
    const begun = e.started_at ? e.attempt : e.attempt - 1;
    if (begun !== offered) { // or each event would close a list that somebody has opened
      attempts.replaceChildren(...(begun > 1 ? [chooser(begun, chosen ?? begun, (n) => { chosen = n === offered ? null : n; load(); })] : []));
      offered = begun;
    }
    const wanted = chosen ?? begun;
    if (wanted !== shown && wanted > 0) {
      reading?.abort();
      reading = new AbortController();
      output = logs(e, wanted, wanted === e.attempt && !final(e), AbortSignal.any([signal, reading.signal]));
      shown = wanted;
      place.replaceChildren(output.element);
    } else if (begun === 0) {
      place.replaceChildren(h("p", { class: "hint" }, final(e) ? "It never began, so there is no output." : "It has not begun: its output appears here."));
    }
    if (shown === e.attempt && final(e)) for (const name of ["stdout", "stderr"]) output.dropped(name, e[name].dropped_bytes);
    if (final(e)) await artifacts(left, id, signal);
  };
  await load();
  return load;
}

function heading(e, load, go) {
  return h("div", { class: "heading" },
    h("h1", {}, link("/actions/" + encodeURIComponent(e.action), e.action), " ", h("span", { class: "hint" }, "#" + e.id), " ", status(e.status)),
    h("div", { class: "buttons" },
      final(e) ? null : act(e.status === "canceling" ? "Cancel again" : "Cancel", async () => { await post(`executions/${e.id}/cancel`); await load(); }, { id: "cancel", "data-needs": "operator" }),
      act("Rerun", async () => go("/executions/" + (await post(`executions/${e.id}/rerun`)).id), { id: "rerun", "data-needs": "operator" }),
      h("a", { class: "button", href: "/executions?parent=" + e.id }, "What it has started"),
      e.action.startsWith("adhoc.") ? null :
        h("a", { class: "button", id: "change", "data-needs": "operator", href: `/actions/${encodeURIComponent(e.action)}?from=${e.id}` }, "Rerun with changes")));
}

// chooser offers the attempts that have begun.
function chooser(begun, chosen, choose) {
  return h("label", { class: "hint" }, "Attempt ", h("select", { id: "attempt", onchange: (event) => choose(Number(event.target.value)) },
    Array.from({ length: begun }, (_, i) => h("option", { value: i + 1, selected: i + 1 === chosen }, String(i + 1)))));
}

function timeline(e) {
  const step = (name, at, before) => h("li", { class: at ? "done" : "" }, h("b", {}, name), at ? when(at) : h("span", { class: "hint" }, "not yet"),
    at && before ? h("span", { class: "hint" }, "after " + duration(new Date(at) - new Date(before))) : null);
  return h("ol", { class: "timeline" }, step("Created", e.created_at), step("Scheduled", e.scheduled_at, e.created_at),
    step("Started", e.started_at, e.scheduled_at), step("Finished", e.finished_at, e.started_at));
}

function details(e) {
  const facts = [
    ["Attempt", `${e.attempt} of ${e.max_attempts}`], ["Worker", e.worker ?? "–"], ["Took", duration(e.duration_ms)],
    ["Exit code", e.signal ?? e.exit_code ?? "–"], ["CPU", duration(e.resources.cpu_ms)], ["Memory", bytes(e.resources.max_rss_bytes)],
  ];
  return h("div", {},
    e.waiting_for ? h("p", { class: "note" }, "Waiting: " + e.waiting_for.message) : null,
    e.parent ? h("p", { class: "hint", id: "parent" }, "Started by ", link("/executions/" + e.parent, "execution " + e.parent)) : null,
    e.error ? h("p", { class: "fault", id: "error" }, h("b", {}, e.error.kind), " ", e.error.message) : null,
    h("dl", { class: "facts" }, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, String(value))))),
    h("div", { class: "columns" },
      h("section", { id: "parameters", "data-same": "parameters" }, h("h2", {}, "Parameters"), tree(e.parameters)),
      h("section", { id: "result", "data-same": `result ${e.attempt} ${e.status}` }, h("h2", {}, "Result"), e.result === null ? h("p", { class: "hint" }, "none") : tree(e.result))));
}

async function artifacts(box, id, signal) {
  let items;
  try {
    items = (await get(`executions/${id}/artifacts`, signal)).items;
  } catch (error) {
    return report(error);
  }
  update(box, h("h2", {}, "Artifacts"), items.length === 0 ? h("p", { class: "hint" }, "none") :
    h("ul", { class: "plain" }, items.map((a) => h("li", {},
      h("a", { download: a.name.split("/").pop(), href: `/api/v1/executions/${id}/artifacts/${a.name.split("/").map(encodeURIComponent).join("/")}?attempt=${a.attempt}` }, a.name),
      h("span", { class: "hint" }, ` ${bytes(a.bytes)}, attempt ${a.attempt}`)))));
}
