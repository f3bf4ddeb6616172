// The installed actions.
import { h, link, table } from "./dom.js";
import { get } from "./api.js";

export async function show(box, { signal }) {
  const { items } = await get("actions", signal);
  const list = h("div");
  const search = h("input", { type: "search", placeholder: "Search actions", "aria-label": "Search actions", oninput: () => draw() });
  const draw = () => {
    const term = search.value.toLowerCase();
    const fits = items.filter((a) => [a.ref, a.label, a.description].some((text) => text?.toLowerCase().includes(term)));
    list.replaceChildren(table(["Action", "Label", "Description", "Runtime"],
      fits.map((a) => [link("/actions/" + encodeURIComponent(a.ref), a.ref), a.label ?? "", a.description ?? "", a.runtime]), "No action is like this."));
  };
  box.append(h("div", { class: "heading" }, h("h1", {}, "Actions"), search), list);
  draw();
}
