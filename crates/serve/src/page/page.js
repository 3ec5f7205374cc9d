// What pages with models share: server-sent events of a POST, and answers as HTML.

/** Sends `body` as JSON; `on` gets the data of each event, parsed, until "[DONE]" or the end. */
export async function stream(url, body, { headers = {}, signal, on }) {
  const response = await fetch(url, {
    method: "POST", signal, body: JSON.stringify(body),
    headers: { "content-type": "application/json", ...headers },
  });
  if (!response.ok) throw new Error(await failure(response));
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest += value;
    const events = rest.split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const data = event.split("\n").filter((line) => line.startsWith("data:"))
        .map((line) => line.slice(5).replace(/^ /, "")).join("\n");
      if (data === "[DONE]") return;
      if (data) on(JSON.parse(data));
    }
  }
}

/** What an answer that is no success says. */
export async function failure(response) {
  const text = await response.text();
  try { return JSON.parse(text).error.message; } catch { return text || `${response.status} ${response.statusText}`; }
}

/** JSON of a GET, or of a POST where there is a body. */
export async function json(url, body, headers = {}) {
  const response = await fetch(url, body === undefined ? { headers } : {
    method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json", ...headers },
  });
  if (!response.ok) throw new Error(await failure(response));
  return response.json();
}

/** Shows a text that grows: as it is at once, as HTML made by the server a few times a second. */
export class Answer {
  constructor(element) {
    this.element = element;
    this.text = "";
    this.shown = null;
    this.asking = null;
    element.classList.add("text", "working");
    // Read out once, when it is whole.
    element.setAttribute("aria-busy", "true");
  }

  add(piece) {
    this.text += piece;
    if (this.shown === null) { this.element.classList.add("plain"); this.element.textContent = this.text; }
    this.asking ??= new Promise((wait) => setTimeout(wait, 150)).then(() => this.render());
  }

  async render() {
    const text = this.text;
    try {
      const { html } = await json("/page/markdown", { text });
      this.element.classList.remove("plain");
      this.element.innerHTML = html;
      this.shown = text;
    } catch { this.element.textContent = this.text; }
    this.asking = null;
  }

  async finish() {
    if (this.asking) await this.asking;
    if (this.shown !== this.text && this.text) await this.render();
    this.element.classList.remove("working");
    this.element.removeAttribute("aria-busy");
  }
}

/** An element with attributes, text and children. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}
