// The pages' own reader of streams, as the server at argv[2] serves it.
import assert from "node:assert/strict";

const base = process.argv[2];
const source = await (await fetch(base + "/assets/page.js")).text();
const { stream, json } = await import("data:text/javascript," + encodeURIComponent(source));

const plain = { model: "tiny", messages: [{ role: "user", content: "Hello" }], temperature: 0, max_tokens: 12 };
const whole = await json(base + "/v1/chat/completions", plain);
let text = "";
await stream(base + "/v1/chat/completions", { ...plain, stream: true }, {
  on: (event) => { text += event.choices[0]?.delta?.content ?? ""; },
});
assert.equal(text, whole.choices[0].message.content);

await assert.rejects(stream(base + "/v1/chat/completions", { ...plain, model: "gpt-4o" }, { on() {} }), /gpt-4o/);

const leave = new AbortController();
const long = { ...plain, max_tokens: 400, stream: true, logit_bias: { 257: -100 } };
await assert.rejects(stream(base + "/v1/chat/completions", long, { signal: leave.signal, on: () => leave.abort() }),
  { name: "AbortError" });
