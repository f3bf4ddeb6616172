// What goes on now, and how the last executions went.
import { h, svg, table, duration, update } from "./dom.js";
import { get } from "./api.js";
import { columns, row } from "./executions.js";

const ended = ["completed", "failed", "timeout", "cancelled", "abandoned"];

export async function show(box, { signal }) {
  const load = async () => {
    const [running, waiting, failed, recent] = await Promise.all([
      get("executions?status=running&status=canceling&limit=20", signal), get("executions?status=requested&status=scheduled&limit=20", signal),
      get("executions?status=failed&status=timeout&status=abandoned&limit=10", signal),
      get("executions?limit=500&" + ended.map((s) => "status=" + s).join("&"), signal),
    ]);
    const done = recent.items.filter((e) => e.finished_at);
    const part = (title, page, none) => h("section", {}, h("h2", {}, title), table(columns, page.items.map(row), none));
    update(box, h("h1", {}, "Overview"),
      h("div", { class: "columns" }, h("section", {}, h("h2", {}, "Ended over time"), throughput(done)), h("section", {}, h("h2", {}, "Durations"), durations(done))),
      part("Running", running, "Nothing runs."), part("Waiting, and why", waiting, "Nothing waits."), part("Failed of late", failed, "Nothing has failed."));
  };
  await load();
  return load;
}

const width = 480, height = 120, low = 20;

function chart(label, items, draw) {
  if (items.length === 0) return h("p", { class: "hint" }, "No execution has ended yet.");
  const times = items.map((e) => new Date(e.finished_at).getTime());
  const from = Math.min(...times), to = Math.max(Math.max(...times), from + 60000);
  const image = svg("svg", { viewBox: `0 0 ${width} ${height + low}`, role: "img", "aria-label": label, class: "chart" });
  const top = draw(image, (e) => (new Date(e.finished_at) - from) / (to - from));
  const clock = (ms) => new Date(ms).toLocaleString([], { dateStyle: "short", timeStyle: "short" });
  image.append(svg("line", { x1: 0, y1: height, x2: width, y2: height, class: "axis" }), svg("text", { x: 0, y: height + 14 }, clock(from)),
    svg("text", { x: width, y: height + 14, "text-anchor": "end" }, clock(to)), svg("text", { x: 0, y: 10 }, top));
  return image;
}

const throughput = (items) => chart("executions that ended, over time", items, (image, place) => {
  const bars = Array.from({ length: 40 }, () => ({ good: 0, bad: 0 }));
  for (const e of items) bars[Math.min(39, Math.floor(place(e) * 40))][e.status === "completed" ? "good" : "bad"]++;
  const most = Math.max(...bars.map((b) => b.good + b.bad)), step = width / 40;
  bars.forEach((b, i) => {
    let y = height;
    for (const kind of ["good", "bad"]) {
      const tall = (b[kind] / most) * (height - 16);
      y -= tall;
      if (tall) image.append(svg("rect", { x: i * step + 1, y, width: step - 2, height: tall, class: kind }, svg("title", {}, `${b[kind]} ${kind === "good" ? "completed" : "not completed"}`)));
    }
  });
  return "most: " + most;
});

const durations = (items) => chart("durations, over time", items.filter((e) => e.duration_ms !== null), (image, place) => {
  const timed = items.filter((e) => e.duration_ms !== null), most = Math.max(1, ...timed.map((e) => e.duration_ms));
  for (const e of timed) {
    const tall = Math.log1p(e.duration_ms) / Math.log1p(most); // logarithmic: one long execution must not flatten the others
    image.append(svg("circle", { cx: 4 + place(e) * (width - 8), cy: height - 3 - tall * (height - 22), r: 3, class: e.status === "completed" ? "good" : "bad" },
      svg("title", {}, `${e.id} ${e.action}: ${duration(e.duration_ms)}`)));
  }
  return "longest: " + duration(most);
});
