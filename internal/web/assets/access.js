// Who may come in, and who did what.
import { h, act, table, when, update } from "./dom.js";
import { get, post, remove } from "./api.js";

export async function tokens(box, { signal }) {
  const list = h("div"), made = h("div", { id: "made", role: "status" });
  const name = h("input", { id: "token-name", required: true, maxlength: 100 });
  const role = h("select", { id: "token-role" }, ["viewer", "operator", "admin"].map((r) => h("option", { value: r }, r)));
  const packs = h("input", { id: "token-packs", placeholder: "all" });
  const days = h("input", { id: "token-days", type: "number", min: 1, max: 36500, placeholder: "for ever" });
  const load = async () => {
    const { items } = await get("tokens", signal);
    update(list, table(["Token", "For", "Role", "Packs", "Expires", "Used", "Created by", ""], items.map((t) => [
      String(t.id), t.name, t.role, t.packs.join(", ") || "all", t.expires_at ? [new Date(t.expires_at) < new Date() ? "expired " : "", when(t.expires_at)] : "never",
      t.last_used_at ? when(t.last_used_at) : "never", t.created_by,
      act("Revoke", async () => {
        if (!confirm(`Revoke the token ${t.id} (${t.name})? Who bears it is not let in any more.`)) return;
        await remove("tokens/" + t.id);
        await load();
      }, { class: "danger" }),
    ]), "There are no tokens but that of the server's data directory."));
  };
  const create = act("Create", async () => {
    const only = packs.value.split(/[\s,]+/).filter(Boolean);
    packs.setCustomValidity(packs.value !== "" && only.length === 0 ? "Name packs, or leave it empty for all." : "");
    if (![name, packs, days].every((field) => field.reportValidity())) return;
    const body = { name: name.value, role: role.value };
    if (only.length) body.packs = only;
    if (days.value) body.expires_seconds = Number(days.value) * 86400;
    const t = await post("tokens", body);
    // It is nowhere else: leaving the page is the end of it.
    update(made, h("p", {}, `Token ${t.id}, shown this once: `, h("code", {}, t.token)));
    for (const field of [name, packs, days]) field.value = "";
    await load();
  }, { id: "create-token", class: "primary" });
  box.append(h("h1", {}, "Tokens"), h("div", { class: "filters" }, h("label", {}, "For", name), h("label", {}, "Role", role),
    h("label", {}, "Packs", packs), h("label", {}, "Days", days), create), made, list);
  await load();
}

export async function audit(box, { signal }) {
  const list = h("div");
  let rows = [], cursor = null;
  const more = act("Older", () => load(cursor), { hidden: true });
  const load = async (from) => {
    const page = await get("audit?limit=100" + (from ? "&cursor=" + from : ""), signal);
    rows = from ? rows.concat(page.items) : page.items;
    cursor = page.next_cursor;
    more.hidden = cursor === null;
    update(list, table(["At", "Who", "What", "To"], rows.map((e) => [when(e.at), e.actor, e.event, e.subject]), "Nothing has been done yet."));
  };
  box.append(h("div", { class: "heading" }, h("h1", {}, "Audit log"), act("Refresh", () => load(null))), list, more);
  await load(null);
}
