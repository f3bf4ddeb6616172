// Calls of the HTTP API, as any client makes them; the browser adds the session's cookie.

// Problem is an answer that is none: a problem document (RFC 9457).
export class Problem extends Error {
  constructor(status, document) {
    super(document.detail || document.title || "the server answered " + status);
    this.status = status;
    this.fields = document.errors ?? [];
  }
}

// exact keeps the digits of numbers that JavaScript would round.
function exact(_key, value, context) {
  const source = context?.source;
  if (typeof value === "number" && source !== undefined && JSON.rawJSON && String(value) !== source) return JSON.rawJSON(source);
  return value;
}

export const parse = (text) => JSON.parse(text, exact);

// open makes a request and returns the answer, if it is one.
export async function open(path, options = {}) {
  let answer;
  try {
    answer = await fetch("/api/v1/" + path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server can't be reached. Try again when it is back.");
  }
  if (answer.ok) return answer;
  if (answer.status === 401) {
    location.assign("/login?next=" + encodeURIComponent(location.pathname + location.search));
    throw new DOMException("the session has ended", "AbortError");
  }
  let document = {};
  try { document = await answer.json(); } catch { /* a proxy's own page: the status says all that we know */ }
  throw new Problem(answer.status, document);
}

export async function call(method, path, body, signal) {
  const options = { method, signal };
  if (body !== undefined) Object.assign(options, { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
  const answer = await open(path, options);
  const text = await answer.text();
  return text === "" ? null : parse(text);
}

export const get = (path, signal) => call("GET", path, undefined, signal);
export const post = (path, body) => call("POST", path, body);
export const remove = (path) => call("DELETE", path);
