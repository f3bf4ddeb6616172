// What is there: packs, workers, keys.
import { h, act, link, status, table, when, age, bytes, update } from "./dom.js";
import { get, open, post, remove } from "./api.js";

export async function packs(box, { signal }) {
  const list = h("div"), file = h("input", { type: "file", id: "archive", accept: ".tar.gz,.tgz,application/gzip" });
  const load = async () => {
    const { items } = await get("packs", signal);
    update(list, table(["Pack", "Label", "Version", "Installed", ""], items.map((p) => [
      link("/executions?pack=" + encodeURIComponent(p.ref), p.ref), p.label, p.version, when(p.installed_at),
      p.ref === "core" ? "" : act("Delete", async () => {
        if (!confirm(`Delete the pack ${p.ref}?`)) return;
        await remove("packs/" + encodeURIComponent(p.ref));
        await load();
      }, { class: "danger", "data-needs": "admin" }),
    ]), "There are no packs."));
  };
  const upload = act("Upload", async () => {
    if (!file.files.length) throw new Error("Choose a .tar.gz archive with pack.yaml at its root first.");
    await open("packs", { method: "POST", body: file.files[0], headers: { "Content-Type": "application/gzip" } });
    file.value = "";
    await load();
  }, { id: "upload", class: "primary" });
  box.append(h("h1", {}, "Packs"), h("div", { class: "filters", "data-needs": "admin" }, h("label", {}, "Archive (.tar.gz)", file), upload), list);
  await load();
}

export async function workers(box, { signal }) {
  const list = h("div");
  const load = async () => {
    const { items } = await get("workers", signal);
    const steer = (w, verb) => act(verb, async () => { await post(`workers/${encodeURIComponent(w.name)}/${verb}`); await load(); }, { "data-verb": verb, "data-needs": "admin" });
    const verbs = { active: ["cordon", "drain"], cordoned: ["uncordon", "drain"], inactive: ["cordon"], lost: ["cordon"], draining: [] };
    update(list, table(["Worker", "Status", "Slots", "Heartbeat", "Runtimes", "Short of", ""], items.map((w) => [
      link("/executions?worker=" + encodeURIComponent(w.name), w.name), status(w.status),
      h("span", {}, h("meter", { max: w.slots, value: w.slots_used, "aria-label": "slots in use" }), ` ${w.slots_used} of ${w.slots}`),
      h("time", { datetime: w.last_heartbeat, class: "age" }, age(w.last_heartbeat) + " ago"),
      w.runtimes.map((r) => `${r.name} ${r.version}`).join(", "),
      (w.short_of ?? []).map((s) => `${s.resource.replace("_", " ")} of ${s.where}`).join(", "),
      h("div", { class: "buttons" }, (verbs[w.status] ?? []).map((verb) => steer(w, verb))),
    ]), "There are no workers."));
  };
  const tick = setInterval(() => {
    for (const t of list.querySelectorAll("time.age")) t.textContent = age(t.dateTime) + " ago";
  }, 1000);
  signal.addEventListener("abort", () => clearInterval(tick));
  box.append(h("div", { class: "heading" }, h("h1", {}, "Workers"), act("Refresh", load)), list);
  await load();
  return load;
}

export async function keys(box, { signal }) {
  const { items } = await get("keys", signal);
  box.append(h("h1", {}, "Keys"), h("p", { class: "hint" }, "Values are never shown here. The command attune key stores and deletes keys."),
    table(["Key", "Owner", "Size", "Masked", "Updated"], items.map((k) => [
      k.name, k.owner === "system" ? "system" : `${k.owner} ${k.of}`, bytes(k.bytes), k.unmaskable ? "no, too short" : "yes", when(k.updated_at),
    ]), "There are no keys."));
}
