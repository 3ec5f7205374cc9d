// Plays in a real browser: three battles by mouse and keyboard, votes, the leaderboard moves; answers that
// try to run something do not. Usage: node battles.mjs URL CHROMIUM SCREENSHOTS, with playwright-core on NODE_PATH.
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
const context = await browser.newContext({ viewport: { width: 1100, height: 760 }, colorScheme: "light" });
const page = await context.newPage();
const faults = [];
page.on("pageerror", (error) => faults.push(`${error}`));
page.on("dialog", (dialog) => { faults.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
page.on("request", (request) => { if (!request.url().startsWith(base) && !request.url().startsWith("data:")) faults.push(request.url()); });
const shoot = (name, target = page) => target.screenshot({ path: path.join(screenshots, `${name}.png`) });

/** Asks and waits until a vote may be given. */
async function ask(prompt) {
  await page.fill("#prompt", prompt);
  await page.press("#prompt", "Enter");
  await page.waitForSelector(".votes:not([hidden])", { timeout: 60_000 });
}

/** The names shown once the vote is kept. */
async function names() {
  await page.waitForFunction(() => document.querySelector("#status").textContent.includes("counts"));
  return page.$$eval(".name", (all) => all.map((one) => one.textContent));
}

const leaderboard = async () => (await context.request.get(`${base}/leaderboard.json`)).json();

await page.goto(base);
assert.equal((await leaderboard()).votes, 0);

// The first by mouse, over two turns.
await ask("Please show me everything you can do with a page.");
assert.deepEqual(await page.$$eval(".name", (all) => all.map((one) => one.textContent)), ["", ""]);
await page.waitForSelector(".side a", { timeout: 10_000 });
const live = await page.evaluate(() => ({
  scripts: document.querySelectorAll(".turns script, .turns iframe, .turns img, .turns svg, .turns object").length,
  handlers: [...document.querySelectorAll(".turns *")].filter((one) => [...one.attributes].some((a) => a.name.startsWith("on"))).length,
  links: [...document.querySelectorAll(".turns a")].map((a) => a.getAttribute("href") ?? ""),
  ran: window.ran ?? null,
}));
assert.equal(live.scripts, 0);
assert.equal(live.handlers, 0);
assert.equal(live.ran, null);
assert.ok(live.links.length > 0 && live.links.every((link) => !/^(javascript|data|vbscript):/i.test(link.trim())), live.links.join());
// Links that lead nowhere stay where they are.
for (const link of await page.$$(".turns a:not([href^=http])")) await link.dispatchEvent("click");
assert.equal(await page.$$eval(".turn.user", (all) => all.length), 2);
assert.equal(await page.evaluate(() => window.ran ?? null), null);
await shoot("arena-battle");
await page.fill("#prompt", "And once more, in short?");
await page.click("#send");
await page.waitForFunction(() => document.querySelectorAll(".turn.user").length === 4 && !document.querySelector(".votes").hidden);
await page.click("[data-verdict=left]");
assert.equal(new Set(await names()).size, 2);
await shoot("arena-revealed");

// The second by keyboard alone.
await page.keyboard.press("Enter");
await page.waitForFunction(() => document.activeElement.id === "prompt");
await page.keyboard.type("How do birds find their way?");
await page.keyboard.press("Enter");
await page.waitForSelector(".votes:not([hidden])");
await page.keyboard.press("2");
await names();

// The third on a phone, in the dark.
const phone = await browser.newContext({ viewport: { width: 390, height: 780 }, colorScheme: "dark", isMobile: true, hasTouch: true });
const small = await phone.newPage();
small.on("pageerror", (error) => faults.push(`${error}`));
await small.goto(base);
await small.fill("#prompt", "What is the best way to learn to swim?");
await small.tap("#send");
await small.waitForSelector(".votes:not([hidden])", { timeout: 60_000 });
assert.ok(await small.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "the page is wider than the phone");
await shoot("arena-phone", small);
await small.tap("[data-verdict=tie]");
await small.waitForFunction(() => document.querySelector("#status").textContent.includes("counts"));
await small.goto(`${base}/leaderboard`);
assert.ok(await small.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "the leaderboard is wider than the phone");

const board = await leaderboard();
assert.equal(board.votes, 3);
await page.goto(`${base}/leaderboard`);
assert.ok((await page.textContent("#board")).includes("3 votes"));

// A fourth vote moves the board that is being looked at.
const second = await context.newPage();
await second.goto(base);
await second.fill("#prompt", "Which bridge is the oldest?");
await second.press("#prompt", "Enter");
await second.waitForSelector(".votes:not([hidden])", { timeout: 60_000 });
await second.click("[data-verdict=right]");
await second.waitForFunction(() => document.querySelector("#status").textContent.includes("counts"));
await page.bringToFront();
await page.waitForFunction(() => document.querySelector("#board").textContent.includes("4 votes"), null, { timeout: 30_000 });
await shoot("arena-leaderboard");

assert.deepEqual(faults, []);
await browser.close();
console.log("played");
