// Greedy continuations by llama.cpp (npm node-llama-cpp) of prompts, as JSON: for `camelid export`.
//
//   npm install --ignore-scripts --omit=optional node-llama-cpp@3.22.1 @node-llama-cpp/linux-x64@3.22.1
//   node greedy.mjs MODEL.gguf 32 'Once upon a time' 'The capital of France is'
import { getLlama, LlamaCompletion, LlamaLogLevel } from "node-llama-cpp";

const [path, count, ...prompts] = process.argv.slice(2);
const llama = await getLlama({ gpu: false, build: "never", logLevel: LlamaLogLevel.error });
const model = await llama.loadModel({ modelPath: path });
const answers = [];
for (const prompt of prompts) {
  const context = await model.createContext({ contextSize: 512, threads: 1 });
  const completion = new LlamaCompletion({ contextSequence: context.getSequence() });
  const ids = Array.from(model.tokenize(prompt));
  const text = await completion.generateCompletion(prompt, { temperature: 0, maxTokens: Number(count) });
  answers.push({ prompt, ids, text });
  await context.dispose();
}
console.log(JSON.stringify(answers, null, 1));
process.exit(0);
