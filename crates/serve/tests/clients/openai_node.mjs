// The official JavaScript client against a server at argv[2] that serves the model "tiny".
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(process.argv[3] + "/");
const { default: OpenAI } = await import(pathToFileURL(require.resolve("openai")));

const client = new OpenAI({ baseURL: process.argv[2] + "/v1", apiKey: "none", maxRetries: 0 });
const plain = { model: "tiny", messages: [{ role: "user", content: "Hello" }], temperature: 0, max_tokens: 12 };

const models = [];
for await (const model of client.models.list()) models.push(model.id);
assert.deepEqual(models, ["tiny"]);

const whole = await client.chat.completions.create(plain);
let text = "", reason = null, usage = null;
for await (const chunk of await client.chat.completions.create({ ...plain, stream: true, stream_options: { include_usage: true } })) {
  text += chunk.choices[0]?.delta?.content ?? "";
  reason = chunk.choices[0]?.finish_reason ?? reason;
  usage = chunk.usage ?? usage;
}
assert.equal(text, whole.choices[0].message.content);
assert.equal(reason, whole.choices[0].finish_reason);
assert.equal(usage.total_tokens, whole.usage.total_tokens);

const final = await client.chat.completions.stream(plain).finalContent();
assert.equal(final, text);

const vectors = await client.embeddings.create({ model: "tiny", input: "a" });
assert.ok(vectors.data[0].embedding.length > 0);

await assert.rejects(client.chat.completions.create({ ...plain, model: "gpt-4o" }),
  (error) => error.status === 404 && error.code === "model_not_found");

// Leaving in the middle: the iterator ends and the connection with it.
const stream = await client.chat.completions.create({ ...plain, max_tokens: 400, stream: true, logit_bias: { 257: -100 } });
for await (const _ of stream) break;
console.log("the official JavaScript client is content");
