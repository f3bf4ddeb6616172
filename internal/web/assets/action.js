// One action, with the form that runs it.
import { h, report } from "./dom.js";
import { get, post, Problem } from "./api.js";
import { makeForm } from "./form.js";

export async function show(box, { part: ref, query, signal, go }) {
  const action = await get("actions/" + encodeURIComponent(ref), signal);
  const from = query.get("from");
  const given = from ? (await get("executions/" + encodeURIComponent(from), signal)).parameters : undefined;
  const fields = makeForm(action.parameters, given);
  const button = h("button", { class: "primary", id: "run", "data-needs": "operator" }, "Run");
  const form = h("form", { novalidate: true, class: "action", onsubmit: async (event) => {
    event.preventDefault();
    const parameters = fields.read();
    if (parameters === null) return;
    button.disabled = true;
    try {
      go("/executions/" + (await post("executions", { action: ref, parameters })).id);
    } catch (error) {
      if (error instanceof Problem && error.status === 422) fields.fault(error);
      else report(error);
    } finally {
      button.disabled = false;
    }
  } }, fields.element, button);
  box.append(h("h1", {}, action.ref), h("p", { class: "hint" }, [action.label, action.description, action.runtime].filter(Boolean).join(" · ")),
    from ? h("p", { class: "note" }, "Filled in as execution ", h("a", { href: "/executions/" + from }, from), " was. Secret parameters have to be given again.") : "", form);
}
