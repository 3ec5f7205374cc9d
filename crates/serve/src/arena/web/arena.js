// A battle, two models side by side, or one: prompts, answers as they come, a vote.
import { stream, json, Answer, make } from "/assets/page.js";

const arena = document.getElementById("arena");
const mode = arena.dataset.mode;
const find = (id) => document.getElementById(id);
const [prompt, status, send, stop, again, report] = ["prompt", "status", "send", "stop", "again", "report"].map(find);
const suggestions = find("suggestions");
const votes = arena.querySelector(".votes");
const sides = [...arena.querySelectorAll(".side")];
const models = [...arena.querySelectorAll("select.model")];

let battle = null, turns = 0, voted = false, working = null;

function say(words, kind = "") {
  status.className = kind;
  status.textContent = words;
}

/** Shows what may be done now. */
function update() {
  const isOver = voted && mode === "battle";
  send.disabled = working !== null || isOver;
  prompt.disabled = isOver;
  stop.hidden = working === null;
  again.hidden = battle === null || working !== null;
  report.hidden = battle === null || turns === 0 || working !== null;
  if (votes) votes.hidden = turns === 0 || voted || working !== null;
  models.forEach((select) => { select.disabled = battle !== null; });
}

async function ask(text) {
  working = new AbortController();
  const answers = sides.map((side) => {
    const answer = make("div");
    side.querySelector(".turns").append(
      make("div", { class: "turn user text plain" }, text), make("div", { class: "turn" }, answer));
    return new Answer(answer);
  });
  update();
  say("");
  const body = battle ? { battle, prompt: text } : { mode, models: models.map((select) => select.value), prompt: text };
  let complete = false;
  try {
    await stream("/arena/turn", body, { signal: working.signal, on: (event) => {
      if (event.battle) battle ??= event.battle;
      if (event.text) answers[event.text.side].add(event.text.text);
      if (event.done) answers[event.done.side].finish();
      if (event.failed) note(answers, event.failed.side, event.failed.words);
      if (event.ready) { turns = event.ready.turns; complete = true; }
      if (event.void) say(event.void, "bad");
    } });
    if (complete) {
      prompt.value = suggestions?.selectedOptions[0]?.dataset.next ?? "";
      if (suggestions) suggestions.selectedIndex = 0;
      if (votes && !voted) say("Vote, or go on asking.");
    }
  } catch (error) {
    say(error.name === "AbortError" ? "Stopped: this prompt does not count." : error.message, "bad");
    if (!turns) prompt.value = text;
  }
  await Promise.all(answers.map((answer) => answer.finish()));
  if (!complete && turns === 0) battle = null;
  working = null;
  update();
  if (complete && votes && !voted) votes.querySelector("button").focus({ preventScroll: true });
}

function note(answers, side, words) {
  answers[side].finish();
  sides[side].querySelector(".turns").append(make("p", { class: "bad" }, words));
}

async function vote(verdict) {
  for (const button of votes.querySelectorAll("button")) button.disabled = true;
  try {
    const revealed = await json("/arena/vote", { battle, verdict });
    voted = true;
    sides.forEach((side, place) => { side.querySelector(".name").textContent = revealed.models[place]; });
    const better = { left: 0, right: 1 }[revealed.verdict];
    if (better !== undefined) sides[better].classList.add("better");
    const said = revealed.is_new ? "Thank you: your vote counts." : "This battle was voted on before; the first vote counts.";
    say(`${said} Left: ${revealed.models[0]}. Right: ${revealed.models[1]}.`, "good");
  } catch (error) { say(error.message, "bad"); }
  for (const button of votes.querySelectorAll("button")) button.disabled = false;
  update();
  if (voted) again.focus();
}

function restart() {
  [battle, turns, voted] = [null, 0, false];
  for (const side of sides) {
    side.querySelector(".turns").replaceChildren();
    side.querySelector(".name").textContent = "";
    side.classList.remove("better");
  }
  find("reporting").hidden = true;
  say("");
  update();
  prompt.value = "";
  prompt.focus();
}

find("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = prompt.value.trim();
  if (text && !send.disabled) ask(text);
});
prompt.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    find("ask").requestSubmit();
  }
});
suggestions?.addEventListener("change", () => { prompt.value = suggestions.value; prompt.focus(); });
votes?.addEventListener("click", (event) => {
  const verdict = event.target.closest("button")?.dataset.verdict;
  if (verdict) vote(verdict);
});
document.addEventListener("keydown", (event) => {
  const isWriting = event.target.matches("textarea, input, select");
  if (!votes || votes.hidden || isWriting || event.ctrlKey || event.altKey || event.metaKey) return;
  const button = votes.querySelectorAll("button")[Number(event.key) - 1];
  if (button && !button.disabled) button.click();
});
// A link of an answer opens beside the battle, or, where it leads nowhere, not at all.
arena.addEventListener("click", (event) => {
  const link = event.target.closest(".turns a");
  if (!link) return;
  event.preventDefault();
  if (/^https?:/.test(link.getAttribute("href") ?? "")) open(link.href, "_blank", "noopener,noreferrer");
});
stop.addEventListener("click", () => working?.abort());
again.addEventListener("click", restart);
report.addEventListener("click", () => { find("reporting").hidden = false; find("words").focus(); });
find("unreport").addEventListener("click", () => { find("reporting").hidden = true; report.focus(); });
find("reporting").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await json("/arena/report", { battle, words: find("words").value });
    find("reporting").hidden = true;
    find("words").value = "";
    say("Thank you: the report is kept.", "good");
  } catch (error) { say(error.message, "bad"); }
});
update();
