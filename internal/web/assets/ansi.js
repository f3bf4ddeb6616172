// Colours of terminals (ECMA-48, SGR) as classes; other control sequences are left out.

// Escape sequences: CSI, OSC to its end, and those of two characters.
const sequence = /\x1b(?:\[([0-9;:]*)([ -/]*[@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])/g;

// after returns the style (class names) that holds after a text.
export function after(text, style) {
  if (!text.includes("\x1b")) return style;
  for (const [, numbers, end] of text.matchAll(sequence)) if (end === "m") style = change(style, numbers);
  return style;
}

// paint returns a text as nodes.
export function paint(text, style) {
  const nodes = [];
  let from = 0;
  const add = (part) => {
    if (part === "") return;
    const span = document.createElement("span");
    if (style) span.className = style;
    span.textContent = part;
    nodes.push(span);
  };
  for (const found of text.matchAll(sequence)) {
    add(text.slice(from, found.index));
    from = found.index + found[0].length;
    if (found[2] === "m") style = change(style, found[1]);
  }
  add(text.slice(from));
  return nodes;
}

const faces = { 1: "bold", 2: "dim", 3: "italic", 4: "underline", 7: "inverse" };
const ends = { 22: ["bold", "dim"], 23: ["italic"], 24: ["underline"], 27: ["inverse"] };

function change(style, numbers) {
  let classes = new Set(style.split(" ").filter(Boolean));
  const drop = (prefix) => { classes = new Set([...classes].filter((c) => !c.startsWith(prefix))); };
  const codes = numbers.split(/[;:]/).map(Number);
  for (let i = 0; i < codes.length; i++) {
    const code = codes[i];
    if (code === 0) classes.clear();
    else if (faces[code]) classes.add(faces[code]);
    else if (ends[code]) ends[code].forEach((c) => classes.delete(c));
    else if (code === 38 || code === 48) {
      const prefix = code === 38 ? "fg-" : "bg-";
      drop(prefix);
      if (codes[i + 1] === 5) {
        if (codes[i + 2] < 16) classes.add(prefix + codes[i + 2]);
        i += 2;
      } else i += 4; // of 24 bits: shown without colour
    } else if ((code >= 30 && code <= 39) || (code >= 90 && code <= 97)) {
      drop("fg-");
      if (code !== 39) classes.add("fg-" + (code >= 90 ? code - 82 : code - 30));
    } else if ((code >= 40 && code <= 49) || (code >= 100 && code <= 107)) {
      drop("bg-");
      if (code !== 49) classes.add("bg-" + (code >= 100 ? code - 92 : code - 40));
    }
  }
  return [...classes].join(" ");
}
