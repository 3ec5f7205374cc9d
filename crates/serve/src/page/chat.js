// The chat page. A chat is a list of exchanges: what was asked, and what each model answered.
import { Answer, json, make, stream } from "/assets/page.js";

const at = (id) => document.getElementById(id);
const [turns, text, notice, settings] = ["turns", "text", "notice", "settings"].map(at);
const store = {
  read(name, otherwise) { try { return JSON.parse(localStorage.getItem(name)) ?? otherwise; } catch { return otherwise; } },
  write(name, value) { try { localStorage.setItem(name, JSON.stringify(value)); } catch { say("This browser keeps no more chats: delete some."); } },
};
const narrow = matchMedia("(max-width: 44rem)");
let chats = store.read("chats", []).filter((kept) => kept.exchanges?.length);
let chat = chats[0] ?? fresh();
let running = null;
/** Where the answers of an exchange are shown, by model. */
const places = new WeakMap();

function fresh() { return { id: crypto.randomUUID?.() ?? String(Math.random()), models: store.read("models", []), exchanges: [] }; }
function say(words) { notice.textContent = words; notice.hidden = !words; }
/** Keeps all chats, that in which something was asked first; one without a question is none. */
function keep(asked) {
  if (asked) chats = [asked, ...chats.filter((other) => other.id !== asked.id)];
  chats = chats.filter((kept) => kept.exchanges.length);
  store.write("chats", chats);
  list();
}
function option(name) { return settings.elements[name].value.trim(); }
function headers() { return option("key") ? { authorization: `Bearer ${option("key")}` } : {}; }
function number(name) { return option(name) === "" ? undefined : Number(option(name)); }

function list() {
  at("list").replaceChildren(...chats.map((other) => make("li", { "aria-current": other.id === chat.id && "true" },
    make("button", { type: "button", class: "quiet", onclick: () => open(other) }, other.exchanges[0].user.slice(0, 60)),
    make("button", { type: "button", class: "quiet", "aria-label": "Delete this chat", onclick: () => remove(other) }, "×"))));
}
function open(other) {
  stop();
  chat = other;
  if (narrow.matches) at("history").open = false;
  show(); list(); text.focus();
}
function remove(other) {
  chats = chats.filter((kept) => kept.id !== other.id);
  if (other.id === chat.id) { stop(); chat = fresh(); show(); }
  keep();
  at("new").focus();
}

function show() {
  say("");
  turns.replaceChildren(...chat.exchanges.map(exchange));
  for (const box of at("models").querySelectorAll("input")) box.checked = chat.models.includes(box.value);
}

/** One question with its answers, side by side. */
function exchange(turn, index) {
  const does = (words, label, work) => make("button", { type: "button", class: "quiet does", "aria-label": label, onclick: work }, words);
  const answers = Object.entries(turn.answers).map(([model, said]) => {
    const body = make("div");
    const card = make("article", { class: "card turn", "aria-label": model }, make("div", { class: "who" }, model, " ",
      does("Again", `Ask ${model} again`, () => again(index, model)),
      // Browsers have none for pages that come without TLS from elsewhere.
      navigator.clipboard ? does("Copy", `Copy what ${model} says`, () => navigator.clipboard.writeText(turn.answers[model])) : ""), body);
    places.set(turn, { ...places.get(turn), [model]: body });
    if (said) { const answer = new Answer(body); answer.text = said; answer.finish(); }
    return card;
  });
  const asked = make("div", { class: "turn user" },
    make("div", { class: "who" }, "You ", does("Edit", "Edit from here", () => edit(index))),
    make("div", { class: "text plain" }, turn.user));
  return make("div", {}, asked, make("div", { class: "columns" }, ...answers));
}

function edit(index) {
  stop();
  text.value = chat.exchanges[index].user;
  chat.exchanges.length = index;
  show(); keep(); text.focus();
}

function messages(index, model) {
  const before = chat.exchanges.slice(0, index).flatMap((turn) => [
    { role: "user", content: turn.user }, { role: "assistant", content: turn.answers[model] ?? Object.values(turn.answers)[0] ?? "" }]);
  const system = option("system") ? [{ role: "system", content: option("system") }] : [];
  return [...system, ...before, { role: "user", content: chat.exchanges[index].user }];
}

async function ask(index, models) {
  stop();
  const [turn, mine] = [chat.exchanges[index], new AbortController()];
  running = mine;
  busy(true);
  await Promise.all(models.map(async (model) => {
    const answer = new Answer(places.get(turn)[model]);
    const seed = number("seed");
    const body = { model, messages: messages(index, model), stream: true, temperature: number("temperature"),
      top_p: number("top_p"), max_tokens: number("max_tokens"), ...(seed === undefined ? {} : { seed }) };
    try {
      await stream("/v1/chat/completions", body, { headers: headers(), signal: mine.signal, on(event) {
        if (event.error) throw new Error(event.error.message);
        const piece = event.choices[0]?.delta?.content;
        if (piece) { answer.add(piece); turn.answers[model] = answer.text; }
      } });
    } catch (error) { if (error.name !== "AbortError") say(`${model}: ${error.message}`); }
    await answer.finish();
  }));
  if (running === mine) { running = null; busy(false); }
  keep();
}

function again(index, model) {
  stop();
  chat.exchanges.length = index + 1;
  chat.exchanges[index].answers[model] = "";
  show();
  ask(index, [model]);
}
function stop() { running?.abort(); running = null; busy(false); }
/** Shows the button that means something now; one takes the other's place, for the keyboard too. */
function busy(is) {
  const [gone, there] = is ? [at("send"), at("stop")] : [at("stop"), at("send")];
  const held = document.activeElement === gone;
  gone.hidden = true;
  there.hidden = false;
  if (held) there.focus();
}

at("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const user = text.value.trim();
  const models = [...at("models").querySelectorAll("input:checked")].map((box) => box.value);
  if (!user) return;
  if (!models.length) return say("Choose a model.");
  say("");
  text.value = "";
  chat.models = models;
  store.write("models", models);
  const turn = { user, answers: Object.fromEntries(models.map((model) => [model, ""])) };
  chat.exchanges.push(turn);
  keep(chat);
  turns.append(exchange(turn, chat.exchanges.length - 1));
  scrollTo(0, document.documentElement.scrollHeight);
  ask(chat.exchanges.length - 1, models);
});
text.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); at("composer").requestSubmit(); }
});
addEventListener("keydown", (event) => { if (event.key === "Escape") stop(); });
// Follows an answer as it grows, until someone scrolls up from its end.
let [follows, height] = [true, 0];
addEventListener("scroll", () => {
  follows = innerHeight + scrollY > document.documentElement.scrollHeight - 80 || (follows && scrollY >= height);
  height = scrollY;
});
new ResizeObserver(() => { if (follows) scrollTo(0, document.documentElement.scrollHeight); }).observe(turns);
at("stop").addEventListener("click", stop);
at("new").addEventListener("click", () => open(fresh()));
settings.addEventListener("submit", (event) => event.preventDefault());
settings.addEventListener("change", (event) => {
  const { key, ...kept } = Object.fromEntries(new FormData(settings));
  store.write("settings", kept);
  // A key stays for this tab alone.
  try { sessionStorage.setItem("key", key); } catch { /* for this page alone */ }
  if (event.target.name === "key") models();
});

// What has come of an answer is kept when the page goes away; what another tab keeps is there in this one.
addEventListener("pagehide", () => store.write("chats", chats));
addEventListener("storage", ({ key }) => {
  if (key !== "chats") return;
  chats = store.read("chats", []).map((kept) => kept.id === chat.id ? chat : kept);
  list();
});

async function models() {
  const boxes = at("models");
  try {
    const { data } = await json("/v1/models", undefined, headers());
    const chosen = chat.models.some((name) => data.some((model) => model.id === name)) ? chat.models : [data[0]?.id];
    boxes.replaceChildren(boxes.firstElementChild, ...data.map(({ id }) => make("label", {},
      make("input", { type: "checkbox", value: id, checked: chosen.includes(id) }), id)));
    say("");
  } catch (error) { say(error.message); setTimeout(models, 2000); }
}

for (const [name, value] of Object.entries(store.read("settings", {}))) if (settings.elements[name]) settings.elements[name].value = value;
try { settings.elements.key.value = sessionStorage.getItem("key") ?? ""; } catch { /* no storage */ }
if (narrow.matches) at("history").open = false;
show(); list(); models();
