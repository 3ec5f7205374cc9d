// Chats in a real browser: by keyboard alone, with two models side by side, stopped, edited, asked again, over
// reloads, on a phone in the dark; answers that try to run something do not.
// Usage: node chat_page.mjs URL CHROMIUM SCREENSHOTS, with the folder of playwright-core in CAMELID_PLAYWRIGHT. The
// models `tiny` and `other` never end by themselves.
import { createRequire } from "node:module";
import assert from "node:assert/strict";
import path from "node:path";

const [base, executablePath, screenshots] = process.argv.slice(2);
const require = createRequire(path.join(process.env.CAMELID_PLAYWRIGHT, "package.json"));
const { chromium } = require("playwright-core");

const browser = await chromium.launch({
  executablePath,
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"],
});
const faults = [];
async function visit(options) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(60_000);
  const page = await context.newPage();
  page.on("pageerror", (error) => faults.push(`${error}`));
  page.on("dialog", (dialog) => { faults.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  page.on("console", (line) => { if (line.text().includes("Content Security Policy")) faults.push(line.text()); });
  page.on("request", (request) => { if (!request.url().startsWith(base) && !request.url().startsWith("data:")) faults.push(request.url()); });
  await page.goto(base);
  await page.waitForSelector("#models input");
  return page;
}
const page = await visit({ viewport: { width: 1100, height: 760 }, colorScheme: "light" });
const shoot = (name, target = page) => target.screenshot({ path: path.join(screenshots, `${name}.png`) });

const chats = (target = page) => target.evaluate(() => JSON.parse(localStorage.getItem("chats")) ?? []);
const last = async () => (await chats())[0].exchanges.at(-1);
const ended = (target = page) => target.waitForFunction(() => !document.querySelector("#send").hidden && !document.querySelector(".working"));
const focused = () => page.evaluate(() => document.activeElement.id);
const shown = () => page.$$eval("#turns article", (all) => all.map((one) => one.lastElementChild.textContent));

/** Presses Tab, or Shift+Tab, until an element has the focus. */
async function tabTo(selector, key = "Shift+Tab") {
  for (let presses = 0; presses < 60; presses += 1) {
    if (await page.evaluate((selector) => document.activeElement.matches(selector), selector)) return;
    await page.keyboard.press(key);
  }
  assert.fail(`${key} does not lead to ${selector}`);
}

/** Loads the page anew and opens its settings. */
async function reload() {
  await page.reload();
  await page.waitForSelector("#models input:checked");
  await page.click("details:has(#settings) > summary");
}

/** What the API itself answers. */
async function api(model, ...said) {
  const messages = said.map((content, place) => ({ role: place % 2 ? "assistant" : "user", content }));
  const data = { model, messages, temperature: 0, max_tokens: 24 };
  const response = await page.context().request.post(`${base}/v1/chat/completions`, { data });
  return (await response.json()).choices[0].message.content;
}

// By keyboard alone: the settings, a question, its answer.
assert.equal(await focused(), "text");
await tabTo("#models input[value=tiny]");
assert.ok(await page.isChecked("#models input[value=tiny]") && !await page.isChecked("#models input[value=other]"));
await tabTo("details:has(#settings) > summary");
await page.keyboard.press("Enter");
await tabTo("[name=temperature]", "Tab");
await page.keyboard.press("Control+A");
await page.keyboard.type("0");
await tabTo("[name=max_tokens]", "Tab");
await page.keyboard.type("24");
await tabTo("#text", "Tab");
await page.keyboard.type("What is <b>this</b>?");
await page.keyboard.press("Shift+Enter");
await page.keyboard.type("Tell me.");
await page.keyboard.press("Enter");
await ended();
const first = "What is <b>this</b>?\nTell me.";
const answer = await api("tiny", first);
assert.deepEqual(await last(), { user: first, answers: { tiny: answer } });
assert.equal(await page.textContent("#turns .user .text"), first);
assert.equal(await focused(), "text");

// Two models side by side, each with its own past, and where it has none with the other's.
await tabTo("#models input[value=other]");
await page.keyboard.press("Space");
await tabTo("#text", "Tab");
await page.keyboard.type("And then?");
await tabTo("#send", "Tab");
await page.keyboard.press("Enter");
await ended();
assert.equal(await focused(), "send", "the focus comes back from the button that took its place");
assert.deepEqual((await last()).answers, { tiny: await api("tiny", first, answer, "And then?"), other: await api("other", first, answer, "And then?") });
const boxes = await Promise.all((await page.$$("#turns > :last-child article")).map((card) => card.boundingBox()));
assert.ok(boxes.length === 2 && boxes[0].y === boxes[1].y && boxes[0].x + boxes[0].width <= boxes[1].x, JSON.stringify(boxes));
await shoot("chat-two-models");

// Answers come as they grow, and stop when told to: by Escape, and by the button.
for (const stop of [() => page.keyboard.press("Escape"), () => page.click("#stop")]) {
  await page.fill("[name=max_tokens]", "");
  await page.fill("#text", "Everything, please.");
  await page.press("#text", "Enter");
  const longer = (than) => page.waitForFunction((than) => [...document.querySelectorAll("#turns > :last-child article")]
    .every((card) => card.lastElementChild.textContent.length > than), than);
  await longer(20);
  await longer(2 * Math.max(...(await shown()).slice(-2).map((text) => text.length)));
  await stop();
  await ended();
  const kept = (await last()).answers;
  assert.ok(kept.tiny.length > 20 && kept.other.length > 20);
  await page.waitForFunction(async () => /camelid_sequences_running 0\n/.test(await (await fetch("/metrics")).text()));
  assert.deepEqual((await last()).answers, kept);
}

// Edited from there on, asked again, and edited from the very first question.
await page.fill("[name=max_tokens]", "24");
await page.click("#turns > :nth-child(2) .user button");
assert.equal(await page.inputValue("#text"), "And then?");
assert.equal((await chats())[0].exchanges.length, 1);
await page.fill("#text", "And now?");
await page.press("#text", "Enter");
await ended();
const now = { tiny: await api("tiny", first, answer, "And now?"), other: await api("other", first, answer, "And now?") };
assert.deepEqual((await last()).answers, now);
await page.click("#turns > :nth-child(1) article button");
await ended();
assert.deepEqual(await chats().then(([chat]) => chat.exchanges), [{ user: first, answers: { tiny: answer } }]);
await page.click("#turns > :nth-child(1) .user button");
assert.deepEqual(await chats(), [], "a chat without a question is none");
await reload();
assert.equal(await page.inputValue("[name=max_tokens]"), "24");

// Chats are kept over reloads, each by itself; one is deleted.
for (const question of ["One?", "Two?"]) {
  await page.click("#new");
  await page.fill("#text", question);
  await page.press("#text", "Enter");
  await ended();
}
const before = await shown();
assert.ok(before.length === 2 && before.every((text) => text.length > 0), before.join());
await reload();
await page.waitForFunction((count) => document.querySelectorAll("#turns article").length === count, before.length);
await ended();
assert.deepEqual(await shown(), before);
await page.click("#list >> text=One?");
assert.equal(await page.textContent("#turns .user .text"), "One?");
await page.click("#list li:has-text('Two?') [aria-label^=Delete]");
assert.deepEqual((await chats()).map((chat) => chat.exchanges[0].user), ["One?"]);
assert.equal(await focused(), "new");

// One that is left in the midst of an answer keeps its question and what had come.
await page.click("#new");
await page.fill("[name=max_tokens]", "");
await page.fill("#text", "Three?");
await page.press("#text", "Enter");
await page.waitForFunction(() => [...document.querySelectorAll("#turns article")].some((card) => card.lastElementChild.textContent.length > 20));
await reload();
const left = await last();
assert.ok(left.user === "Three?" && Object.values(left.answers).some((text) => text.length > 20), JSON.stringify(left));

// What the server refuses is said.
await page.fill("[name=temperature]", "9");
await page.fill("#text", "Four?");
await page.press("#text", "Enter");
await ended();
assert.match(await page.textContent("#notice"), /temperature/);
await page.fill("[name=temperature]", "0");

// Nothing in an answer runs, nor in a question.
const hostile = "Here: <script>window.ran = 'script'</script> <img src=x onerror=\"window.ran = 'image'\">\n\n"
  + "[a link](javascript:window.ran='link') and <a href=\"javascript:window.ran='raw'\">another</a>, "
  + "<svg onload=\"window.ran='svg'\"></svg> ![x](x\" onerror=\"window.ran='title')\n\n"
  + "**Else**: <https://example.com/> and\n\n| a | b | a column of a table |\n|---|---|---|\n| 1 | 2 | `a_name_that_does_not_break_anywhere` |\n\n"
  + `\`\`\`js\nwindow.ran = 'code'; // ${"a long line ".repeat(20)}\n\`\`\`\n\n${"Donaudampfschifffahrt".repeat(8)}\n`;
async function answerWith(target, text) {
  const events = [...text.match(/[^]{1,7}/g).map((content) => ({ choices: [{ delta: { content } }] }))];
  const body = `${events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join("")}data: [DONE]\n\n`;
  await target.route("**/v1/chat/completions", (route) => route.fulfill({ contentType: "text/event-stream", body }));
}
await answerWith(page, hostile);
await page.click("#new");
await page.fill("#text", "<img src=x onerror=\"window.ran = 'question'\">");
await page.press("#text", "Enter");
await ended();
await page.waitForSelector("#turns article strong");
const live = await page.evaluate(() => ({
  active: document.querySelectorAll("#turns :is(script, iframe, img, svg, object), #list :is(script, img)").length,
  handlers: [...document.querySelectorAll("#turns *, #list *")].filter((one) => [...one.attributes].some((a) => a.name.startsWith("on"))).length,
  links: [...document.querySelectorAll("#turns a")].map((a) => a.getAttribute("href") ?? ""),
}));
assert.deepEqual([live.active, live.handlers], [0, 0]);
assert.ok(live.links.length > 0 && live.links.every((link) => !/^(javascript|data|vbscript):/i.test(link.trim())), live.links.join());
for (const link of await page.$$("#turns a:not([href^=http])")) await link.dispatchEvent("click");
await reload();
await page.waitForSelector("#turns article strong");
assert.equal(await page.evaluate(() => window.ran ?? null), null);

// On phones, in the dark: nothing is wider than the page, with all of it open.
for (const width of [390, 320]) {
  const phone = await visit({ viewport: { width, height: 780 }, colorScheme: "dark", isMobile: true, hasTouch: true });
  await answerWith(phone, hostile);
  for (const box of await phone.$$("#models input")) await box.check();
  await phone.fill("#text", "What is the best way to learn to swim?");
  await phone.tap("#send");
  await ended(phone);
  await phone.waitForSelector("#turns article table");
  const fits = () => phone.evaluate(() => document.documentElement.scrollWidth <= innerWidth);
  assert.ok(await fits(), `the page is wider than ${width} points`);
  assert.ok(await phone.evaluate(() => innerHeight + scrollY > document.documentElement.scrollHeight - 80), "it follows the answer");
  await shoot(`chat-phone-${width}`, phone);
  for (const summary of await phone.$$("summary")) await summary.tap();
  assert.ok(await fits(), `the settings are wider than ${width} points`);
  assert.match(await phone.evaluate(() => getComputedStyle(document.body).backgroundColor), /^rgb\(([0-5]?\d, ){2}/);
  await phone.tap("#theme");
  assert.match(await phone.evaluate(() => getComputedStyle(document.body).backgroundColor), /255, 255, 255/);
}

assert.deepEqual(faults, []);
await browser.close();
console.log("played");
