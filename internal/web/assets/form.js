// A form made from a JSON Schema. The browser checks what is quickly checked; the server checks all of it again.
import { h } from "./dom.js";
import { parse } from "./api.js";

export function makeForm(schema, given) {
  const properties = schema.properties ?? {};
  const order = [...new Set([...(schema["x-order"] ?? []), ...Object.keys(properties)])].filter((name) => name in properties);
  const general = h("p", { class: "fault", role: "alert", hidden: true });
  const fields = order.map((name) => makeField(name, properties[name] === true ? {} : properties[name], (schema.required ?? []).includes(name), given));
  const element = h("div", {}, general, order.length ? fields.map((f) => f.element) : h("p", { class: "hint" }, "It takes no parameters."));
  const clear = () => {
    general.hidden = true;
    fields.forEach((f) => f.fault(""));
  };
  return {
    element,
    // read returns the parameters, or null after it has shown what is wrong with them.
    read() {
      clear();
      const parameters = {};
      let first = null;
      for (const field of fields) {
        try {
          const value = field.read();
          if (value !== undefined) parameters[field.name] = value;
        } catch (error) {
          field.fault(error.message);
          first ??= field;
        }
      }
      first?.focus();
      return first ? null : parameters;
    },
    // fault shows each detail of the server's answer at its field.
    fault(problem) {
      clear();
      const rest = [];
      let first = null;
      for (const { location, message } of problem.fields) {
        const inside = location?.startsWith("body.parameters.") ? location.slice("body.parameters.".length) : null;
        const field = fields.filter((f) => inside === f.name || inside?.startsWith(f.name + ".") || inside?.startsWith(f.name + "["))
          .sort((a, b) => b.name.length - a.name.length)[0];
        if (!field) { rest.push([location, message].filter(Boolean).join(": ")); continue; }
        field.fault(inside === field.name ? message : inside + ": " + message);
        first ??= field;
      }
      if (rest.length || !first) {
        general.textContent = [problem.message, ...rest].join(" · ");
        general.hidden = false;
      }
      first?.focus();
    },
  };
}

function makeField(name, schema, required, given) {
  const id = "p-" + name, known = given && Object.hasOwn(given, name), secret = schema["x-secret"] === true;
  const start = secret ? undefined : known ? given[name] : given ? undefined : schema.default;
  const kind = schema.enum ? "enum" : ["string", "number", "integer", "boolean"].includes(schema.type) ? schema.type : "json";
  const input = control(kind, schema, start, secret);
  const fault = h("p", { class: "fault", id: id + "-fault", hidden: true });
  // A field without text is not set. Where an empty text is a value, too, it has a box of its own.
  const empty = kind === "string" && !secret && !(schema.minLength > 0) ? h("input", { type: "checkbox", id: id + "-empty", checked: start === "" }) : null;
  const choice = empty && h("label", { class: "hint empty", hidden: input.value !== "" }, empty, " give an empty text");
  if (empty) input.addEventListener("input", () => { choice.hidden = input.value !== ""; });
  input.id = id;
  input.setAttribute("aria-describedby", id + "-hint " + id + "-fault");
  if (required) input.setAttribute("aria-required", "true");
  return {
    name,
    element: h("div", { class: "field" }, h("label", { for: id }, name, required ? h("span", { class: "needed" }, " required") : ""),
      h("p", { class: "hint", id: id + "-hint" }, [schema.description, rule(schema, kind)].filter(Boolean).join(" · ")), input, choice, fault),
    read: () => (empty?.checked && input.value === "" ? checkText(schema, "") : read(kind, schema, input.value, required)),
    fault(message) {
      fault.textContent = message;
      fault.hidden = message === "";
      input.setAttribute("aria-invalid", String(message !== ""));
    },
    focus: () => input.focus(),
  };
}

function control(kind, schema, start, secret) {
  const choices = kind === "boolean" ? [true, false] : schema.enum;
  if (kind === "enum" || kind === "boolean") {
    return h("select", {}, h("option", { value: "" }, "– not set –"), choices.map((choice) => h("option",
      { value: JSON.stringify(choice), selected: start !== undefined && JSON.stringify(choice) === JSON.stringify(start) },
      typeof choice === "string" ? choice : JSON.stringify(choice))));
  }
  if (secret) return h("input", { type: "password", autocomplete: "off" });
  const text = start === undefined ? "" : kind === "string" && typeof start === "string" ? start : JSON.stringify(start, null, kind === "json" ? 2 : 0);
  if (kind === "number" || kind === "integer") return h("input", { type: "text", inputmode: "decimal", value: text, autocomplete: "off" });
  const area = h("textarea", { rows: kind === "json" ? 3 : 1, spellcheck: "false", class: kind === "json" ? "code" : "" });
  area.value = text;
  return area;
}

const rule = (schema, kind) => [
  kind === "json" ? "JSON" + (schema.type ? ` (${[schema.type].flat().join(" or ")})` : "") : kind === "enum" ? "" : kind,
  schema.minimum !== undefined ? "at least " + schema.minimum : "", schema.maximum !== undefined ? "at most " + schema.maximum : "",
].filter(Boolean).join(", ");

// read returns the value of a control, undefined if it is not set; it throws what is wrong.
function read(kind, schema, text, required) {
  if (text === "") {
    if (required && schema.default === undefined) throw new Error("this is required");
    return undefined;
  }
  if (kind === "enum" || kind === "boolean") return parse(text);
  if (kind === "string") return checkText(schema, text);
  let value;
  try { value = parse(text); } catch { throw new Error(kind === "json" ? "this is not JSON" : "want a number"); }
  if (kind !== "json") checkNumber(kind, schema, text);
  return value;
}

function checkText(schema, text) {
  const length = [...text].length; // JSON Schema counts characters, not units of UTF-16
  if (length < schema.minLength) throw new Error(`got ${length} characters, want at least ${schema.minLength}`);
  if (length > schema.maxLength) throw new Error(`got ${length} characters, want at most ${schema.maxLength}`);
  let pattern = null;
  try { pattern = schema.pattern && new RegExp(schema.pattern, "u"); } catch { /* the server knows this pattern, and checks it */ }
  if (pattern && !pattern.test(text)) throw new Error("it does not match the pattern " + schema.pattern);
  return text;
}

function checkNumber(kind, schema, text) {
  const number = Number(text);
  if (!/^\s*-?[0-9]/.test(text)) throw new Error("want a number");
  if (kind === "integer" && !Number.isInteger(number)) throw new Error("want a whole number");
  if (number < schema.minimum) throw new Error("want at least " + schema.minimum);
  if (number > schema.maximum) throw new Error("want at most " + schema.maximum);
  if (number <= schema.exclusiveMinimum) throw new Error("want more than " + schema.exclusiveMinimum);
  if (number >= schema.exclusiveMaximum) throw new Error("want less than " + schema.exclusiveMaximum);
}
