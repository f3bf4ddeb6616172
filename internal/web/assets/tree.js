// A JSON value as a tree that can be folded. What is folded is made when it is opened, so that large values cost little.
import { h } from "./dom.js";

const most = 1000; // entries shown of one level

export function tree(value, name) {
  const label = name === undefined ? [] : [h("span", { class: "key" }, name + ": ")];
  if (value === null || typeof value !== "object" || JSON.isRawJSON?.(value)) {
    return h("div", { class: "leaf" }, label, h("span", { class: "json-" + (value === null ? "null" : typeof value) }, JSON.stringify(value)));
  }
  const entries = Object.entries(value), list = Array.isArray(value);
  if (entries.length === 0) return h("div", { class: "leaf" }, label, list ? "[]" : "{}");
  const inside = h("div", { class: "inside" });
  const details = h("details", { open: name === undefined || entries.length <= 5 },
    h("summary", {}, label, h("span", { class: "hint" }, list ? `[${entries.length}]` : `{${entries.length}}`)), inside);
  const open = () => {
    if (!details.open || inside.childNodes.length) return;
    inside.append(...entries.slice(0, most).map(([k, v]) => tree(v, k)));
    if (entries.length > most) inside.append(h("p", { class: "hint" }, `and ${entries.length - most} more: the API has them`));
  };
  details.addEventListener("toggle", open);
  open();
  return details;
}
