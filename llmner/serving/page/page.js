// The page: sends what is typed, and shows the answer. Whatever comes from texts, models and the server is inserted as
// text nodes and never parsed as HTML. The server's offsets count code points; JavaScript's strings count UTF-16 units.
"use strict";

const $ = (id) => document.getElementById(id);
const EXAMPLES = {
  extract: { text: "한빛전자 김도윤 대표는 3월 14일 오후 2시 대전에서 신제품 3,000대를 공개했다." },
  project: {
    text: "손흥민은 7.2㎞를 달렸고, 손흥민의 팀은 춘천에서 이겼다.",
    reply: '네, 결과입니다.\n```json\n{"사람": ["손흥민", "손흥민"], "수량": ["7.2km"], "장소": ["춘천에서", "런던"],}\n```',
  },
};
// What became of a mention, for people.
const KINDS = {
  exact: "the text has it as it stands",
  canonical: "the text writes it another way",
  trimmed: "a particle or a title at its end was left out",
  fuzzy: "the most similar place of the text",
  surplus: "listed more often than the text has it",
  overlapped: "another entity is there",
  not_found: "the text does not have it",
  unknown_label: "there is no such label",
  unsure: "its score is too low",
};
// The choice of labels that no recipe has.
const OWN = " own";
const COLOURS = 8;
let choices = { recipes: [], repairs: {}, colours: {} };
let key = "";
let last = null;
let pending = null;
// What the shown result was asked with; null where a reply was projected.
let explained = null;
let shownLabels = [];

// The page's words are English in the source; KOREAN has the same in Korean.
const originals = [];
let language = "en";

function remembered() {
  try { return localStorage.getItem("llmner-language"); } catch { return null; }
}

// A sentence in the page's language, with {names} filled in.
function t(sentence, values) {
  const said = language === "ko" ? KOREAN[sentence] || sentence : sentence;
  return said.replace(/\{(\w+)\}/g, (whole, name) => (values && name in values ? values[name] : whole));
}

// Finds the words that stand on the page from the beginning.
function findWords() {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (node.data.trim() && !node.parentElement.closest("body [lang], script, noscript")) {
      const said = node.data.trim();
      const [before, after] = node.data.split(said);
      originals.push([said, (word) => { node.data = before + word + after; }]);
    }
  }
  for (const name of ["placeholder", "aria-label"]) {
    for (const node of document.querySelectorAll(`[${name}]`)) originals.push([node.getAttribute(name), (word) => node.setAttribute(name, word)]);
  }
}

function speak(chosen) {
  language = chosen;
  document.documentElement.lang = chosen;
  $("language").value = chosen;
  for (const [said, write] of originals) write(t(said));
  tell(...lastTold);
  if (choices.recipes.length) fillChoices();
  if (last && !$("result").hidden) show(last, shownLabels);
}

// The number of each label's colour, as label_colours has it.
function coloursOf(labels) {
  const meant = (label) => (Object.hasOwn(choices.colours, label.toLowerCase()) ? choices.colours[label.toLowerCase()] : undefined);
  const order = [...new Set(labels)].sort((a, b) => (meant(a) === undefined) - (meant(b) === undefined) || (a < b ? -1 : 1));
  const taken = new Map();
  for (const label of order) {
    let first = meant(label);
    if (first === undefined) {
      let mixed = 0x811c9dc5;
      for (const byte of new TextEncoder().encode(label)) mixed = Math.imul(mixed ^ byte, 0x01000193) >>> 0;
      first = mixed % COLOURS;
    }
    const places = Array.from({ length: COLOURS }, (_, step) => (first + step) % COLOURS);
    const free = places.find((place) => ![...taken.values()].includes(place));
    taken.set(label, free === undefined ? first : free);
  }
  return taken;
}

function element(name, text, className) {
  const node = document.createElement(name);
  if (text !== undefined) node.textContent = text;
  if (className) node.className = className;
  return node;
}

async function ask(path, body, signal) {
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  // Headers are bytes: a key beyond ASCII is sent as UTF-8.
  if (key) headers.Authorization = `Bearer ${String.fromCharCode(...new TextEncoder().encode(key))}`;
  const response = await fetch(path, {
    method: body === undefined ? "GET" : "POST", headers, signal,
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const answer = await response.json().catch((error) => {
    // An answer that is cut off is none; an error may have no body.
    if (error.name === "AbortError" || response.ok) throw error;
    return {};
  });
  if (response.ok) return answer;
  if (response.status === 401) { $("key-box").hidden = false; $("key").focus(); }
  throw new Error(answer.error ? answer.error.message : t("the server answers {status}", { status: response.status }));
}

// What was told last, to say it again in another language.
let lastTold = ["", {}, false];

function tell(message, values, failed) {
  lastTold = [message, values, failed];
  $("status").textContent = t(message, values);
  $("status").classList.toggle("error", Boolean(failed));
}

async function loadRecipes() {
  try {
    choices = await ask("v1/recipes");
  } catch (error) {
    tell(error.message, {}, true);
    return;
  }
  if (!$("key-box").hidden) {
    $("key-box").hidden = true;
    $("extract-text").focus();
  }
  tell("");
  fillChoices();
  for (const id of ["extract-format", "project-format"]) {
    $(id).replaceChildren($(id).firstElementChild, ...choices.reply_formats.map((name) => element("option", name)));
  }
  // A tagger takes texts as they are.
  for (const part of document.querySelectorAll("[data-asked]")) part.hidden = Boolean(choices.tagger);
  $("extract-grounded").checked = choices.grounded;
  $("extract-grounded").disabled = !choices.constrains;
  $("no-model").hidden = choices.model;
  for (const part of $("extract").elements) if (!choices.model) part.disabled = true;
  if (!choices.model) choose("project");
}

// Fills the lists of recipes; what is chosen stays.
function fillChoices() {
  for (const [id, value, name] of [["extract-recipe", OWN, "labels of your own"], ["project-recipe", "", "as the reply has them"]]) {
    const chosen = $(id).options.length ? $(id).value : choices.default;
    const entries = [...choices.recipes.map((recipe) => [recipe.name, recipe.name]), [value, t(name)]];
    $(id).replaceChildren(...entries.map(([own, shown]) => {
      const option = element("option", shown);
      option.value = own;
      option.selected = own === chosen;
      return option;
    }));
  }
  describe();
}

// Says what is looked for, and what each label means.
function describe() {
  const own = !choices.tagger && $("extract-recipe").value === OWN;
  const recipe = choices.recipes.find((each) => each.name === $("extract-recipe").value);
  const labels = choices.tagger || own || !recipe ? [] : recipe.labels;
  $("own").hidden = !own;
  checkLabels();
  const names = labels.map((label) => (label.name ? `${label.code} ${label.name}` : label.code));
  const about = choices.tagger ? `${t("A tagger.")} ${choices.tagger.join(", ")}` : own ? (choices.fine_tuned ? t("This server's model was fine-tuned on other labels, and finds few of yours. A general model finds them: llmner serve --base-url ADDRESS --model NAME.") : "") : `${recipe ? recipe.description : ""} ${names.join(", ")}`.trim();
  $("extract-about").textContent = about;
  const meant = labels.filter((label) => label.description);
  const colours = coloursOf(labels.map((label) => label.code));
  $("meanings").hidden = meant.length === 0;
  $("meanings").querySelector("dl").replaceChildren(...meant.flatMap((label) => {
    const term = element("dt");
    term.append(element("mark", label.code, `l${colours.get(label.code)}`), ` ${label.name}`);
    return [term, element("dd", label.description)];
  }));
}

function choose(name, focus) {
  for (const tab of document.querySelectorAll("[role=tab]")) {
    const chosen = tab.id === `tab-${name}`;
    tab.setAttribute("aria-selected", String(chosen));
    tab.tabIndex = chosen ? 0 : -1;
    $(tab.getAttribute("aria-controls")).hidden = !chosen;
    if (chosen && focus) tab.focus();
  }
}

// Does what may take long: one thing at a time, with the seconds that it takes, until it is cancelled.
async function wait(message, work) {
  if (pending) pending.abort();
  const controller = pending = new AbortController();
  const started = performance.now();
  const seconds = () => {
    const passed = (performance.now() - started) / 1000;
    return passed.toFixed(passed < 10 ? 1 : 0);
  };
  const ticking = setInterval(() => { if (pending === controller) $("timer").textContent = t("{seconds} s", { seconds: seconds() }); }, 100);
  tell(message);
  $("cancel").hidden = false;
  try {
    tell(...await work(controller.signal, seconds));
  } catch (error) {
    // What a newer question has replaced says nothing any more.
    if (pending === controller) {
      if (error.name === "AbortError") tell("Cancelled");
      else tell(error.message, {}, true);
    }
  } finally {
    clearInterval(ticking);
    if (pending === controller) {
      pending = null;
      if (document.activeElement === $("cancel")) document.querySelector("[role=tabpanel]:not([hidden])").focus();
      $("cancel").hidden = true;
      $("timer").textContent = "";
    }
  }
}

// Whether an answer is about the whole text, and not about spans.
function isAboutTexts(row) {
  return row.label_outcomes !== undefined || (row.labels !== undefined && !row.spans.length);
}

function submit(path, body, pick, labels) {
  $("result").hidden = true;
  $("why").hidden = true;
  return wait("Asking…", async (signal, seconds) => {
    const row = pick(await ask(path, body, signal));
    if (row.error) throw new Error(row.error);
    show(row, labels);
    $("result-title").focus({ preventScroll: false });
    const about = isAboutTexts(row);
    const count = about ? row.labels.length : row.spans.length;
    const what = about ? (count === 1 ? "{count} label in {seconds} s" : "{count} labels in {seconds} s") : count === 1 ? "{count} entity in {seconds} s" : "{count} entities in {seconds} s";
    return [what, { count, seconds: seconds() }];
  });
}

function show(row, labels) {
  last = row;
  shownLabels = labels;
  const order = [...labels, ...row.spans.map((span) => span.label)].filter((each, index, all) => all.indexOf(each) === index);
  const colours = coloursOf(order);
  const colour = (label) => `l${colours.get(label)}`;
  const heads = Array.from($("mentions").tHead.rows[0].cells, (cell) => cell.textContent);
  const characters = Array.from(row.text);
  const slice = (start, end) => characters.slice(start, end).join("");

  const shown = [];
  let position = 0;
  for (const span of row.spans) {
    shown.push(document.createTextNode(slice(position, span.start)));
    const mark = element("mark", slice(span.start, span.end), colour(span.label));
    const values = Object.values(span.attributes || {}).join(", ");
    mark.append(element("small", values ? `${span.label} · ${values}` : span.label));
    shown.push(mark);
    position = span.end;
  }
  shown.push(document.createTextNode(slice(position)));
  $("shown").replaceChildren(...shown);
  const present = order.filter((label) => row.spans.some((span) => span.label === label));
  $("legend").replaceChildren(...present.map((label) => element("li", `${label} ${row.spans.filter((span) => span.label === label).length}`, colour(label))));

  const scores = new Map(row.spans.map((span) => [`${span.start} ${span.end}`, span.score]));
  const properties = new Map(row.spans.map((span) => [`${span.start} ${span.end}`, span.attributes]));
  // A tagger gives spans, and no reply with mentions.
  const outcomes = row.outcomes || row.spans.map((span) => ({ ...span, kind: "", text: "" }));
  const rows = outcomes.flatMap((outcome) => [outcome, ...(outcome.repeats || []).map((place) => ({ ...outcome, ...place, reason: "again" }))]);
  $("mentions").tBodies[0].replaceChildren(...rows.map((outcome) => {
    const placed = outcome.start !== null;
    const line = element("tr", undefined, placed ? "" : "lost");
    const score = placed ? scores.get(`${outcome.start} ${outcome.end}`) : null;
    const label = element("td");
    const attributes = attributesOf(outcome, placed ? properties.get(`${outcome.start} ${outcome.end}`) : {});
    label.append(placed ? element("mark", outcome.label, colour(outcome.label)) : outcome.label);
    if (attributes) label.append(" ", element("span", attributes, "attributes"));
    const kind = element("td", t(outcome.kind.replace("_", " ")));
    if (KINDS[outcome.kind]) kind.title = t(KINDS[outcome.kind]);
    if (outcome.reason) kind.append(" ", element("span", `(${t(outcome.reason)})`, "reason"));
    line.append(
      label,
      element("td", placed ? slice(outcome.start, outcome.end) : "", "text-cell"),
      element("td", placed ? String(outcome.start) : "", "number"),
      element("td", placed ? String(outcome.end) : "", "number"),
      element("td", score === null || score === undefined ? "" : score.toFixed(3), "number"),
      kind,
      element("td", outcome.text, "text-cell"),
    );
    // On a narrow screen, where cells stand below each other, each says what it is.
    Array.from(line.cells).forEach((cell, number) => { cell.dataset.name = heads[number]; });
    return line;
  }));

  showLabels(row, slice);
  const words = { ok: "It has the expected format.", repaired: "It had to be repaired:", truncated: "It was cut off; complete entities count.", empty: "It is empty.", unreadable: "Nothing in it could be read." };
  $("reading").textContent = t(row.status === undefined ? "A tagger gives no reply." : words[row.status] || row.status);
  $("repairs").replaceChildren(...(row.repairs || []).map((repair) => element("li", t(choices.repairs[repair] || repair))));
  $("raw").textContent = row.reply || "";
  $("raw").hidden = row.reply === undefined;
  $("mentions").classList.toggle("spans", row.outcomes === undefined);
  $("copy-markup").disabled = row.markup === null;
  $("explain").hidden = explained === null;
  $("mentions").parentElement.hidden = isAboutTexts(row);
  $("result").hidden = false;
}

// Attributes that a span or a label has, and what the recipe does not know of them.
function attributesOf(outcome, values) {
  const known = Object.entries(values || {}).map(([name, value]) => `${name}: ${value}`);
  const others = (outcome.attribute_outcomes || []).filter((each) => !["exact", "normalized"].includes(each.kind));
  const unknown = others.map((each) => `${each.name}${each.said === null ? "" : `: ${each.said}`} (${t(each.kind.replace("_", " "))})`);
  return [...known, ...unknown].join(", ");
}

// Labels of the whole text, and what the reply says of it that the recipe does not know.
function showLabels(row, slice) {
  const given = new Map((row.labels || []).map((each) => [each.label, each]));
  const lost = (row.label_outcomes || []).filter((each) => each.kind !== "given");
  $("text-labels").replaceChildren(
    ...[...given.values()].map((each) => {
      const outcome = (row.label_outcomes || []).find((other) => other.kind === "given" && other.label === each.label) || {};
      const line = element("li", each.label);
      if (each.score !== undefined && each.score !== null) line.append(` ${each.score.toFixed(3)}`);
      const attributes = attributesOf(outcome, each.attributes);
      if (attributes) line.append(" ", element("span", attributes, "attributes"));
      const evidence = (each.evidence || []).map((part) => slice(part.start, part.end)).join(", ");
      if (evidence) line.append(" ", element("q", evidence));
      return line;
    }),
    ...lost.map((each) => element("li", `${each.label} (${t(each.kind.replace("_", " "))})`, "lost")),
  );
  $("text-labels").hidden = !$("text-labels").children.length;
}

async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Browsers give the clipboard only to pages with TLS or on this machine. The old way works elsewhere too.
    const area = element("textarea", text);
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    if (!done) { tell("the browser does not allow this page to copy", {}, true); return; }
  }
  tell(`Copied as ${what}`);
}

// The options of the form for texts, as a request has them.
function asked() {
  const body = {};
  if (!choices.tagger) {
    if ($("extract-recipe").value === OWN) {
      // JSON has room for any name, __proto__ too.
      body.labels = Object.fromEntries(ownLabels());
      if ($("extract-language").value) body.language = $("extract-language").value;
    } else body.recipe = $("extract-recipe").value;
    if ($("extract-format").value) body.reply_format = $("extract-format").value;
    if (!$("extract-grounded").disabled) body.grounded = $("extract-grounded").checked;
  }
  if ($("extract-score").value) body.min_score = Number($("extract-score").value);
  return body;
}

// The labels that are written down, a line or several in one, each with what it means behind an equals sign.
function ownLabels() {
  const labels = new Map();
  for (const line of $("extract-labels").value.split("\n")) {
    const at = line.search(/[=＝]/);
    const names = (at < 0 ? line : line.slice(0, at)).split(/[,，、]/).map((name) => name.trim()).filter(Boolean);
    const meaning = at < 0 ? "" : line.slice(at + 1).trim();
    names.forEach((name, number) => {
      const own = number === names.length - 1 ? meaning : "";
      labels.set(name, own || labels.get(name) || "");
    });
  }
  return labels;
}

// Says at once what is wrong with labels that are written down.
function checkLabels() {
  const names = [...ownLabels().keys()].map((name) => name.toLowerCase());
  const own = !$("own").hidden;
  const problem = own && !names.length ? "name a label" : own && new Set(names).size < names.length ? "two labels are called alike" : "";
  $("extract-labels").setCustomValidity(problem ? t(problem) : "");
}

$("extract").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("extract-text").value;
  const how = asked();
  explained = { text, ...how };
  // A label is a word there: its spaces become underscores.
  const labels = choices.tagger || (how.labels ? Object.keys(how.labels).map((name) => name.replace(/\s+/g, "_")) : labelsOf(how.recipe));
  submit("v1/extract", { texts: [text], ...how }, (answer) => answer.results[0], labels);
});

$("explain").addEventListener("click", () => wait("Asking once for each word…", async (signal) => {
  const answer = await ask("v1/explain", explained, signal);
  showWhy(answer.text, answer.explanations);
  return [answer.explanations.length ? "The marked word counts most." : "There is nothing to explain."];
}));
$("cancel").addEventListener("click", () => { if (pending) pending.abort(); });

// For each label the text, in which each word is as strong as the score falls without it.
function showWhy(text, explanations) {
  const characters = Array.from(text);
  $("why").replaceChildren(...explanations.map((each) => {
    const line = element("p", undefined, "why");
    const span = each.start === undefined ? "" : ` ${characters.slice(each.start, each.end).join("")}`;
    line.append(element("b", `${each.label}${span}`), ` ${each.score.toFixed(3)} `);
    const best = Math.max(...each.words.map((word) => word.share), 0);
    let position = 0;
    for (const word of each.words) {
      line.append(characters.slice(position, word.start).join(""));
      const strength = best > 0 && word.share > 0 ? Math.ceil((4 * word.share) / best) : 0;
      const isBest = each.highlight !== null && each.highlight.start === word.start;
      const shown = element(isBest ? "mark" : "span", characters.slice(word.start, word.end).join(""), `share${strength}`);
      shown.title = word.share.toFixed(3);
      line.append(shown);
      position = word.end;
    }
    line.append(characters.slice(position).join(""));
    return line;
  }));
  $("why").hidden = explanations.length === 0;
}

$("project").addEventListener("submit", (event) => {
  event.preventDefault();
  explained = null;
  const body = {
    text: $("project-text").value, reply: $("project-reply").value, reply_format: $("project-format").value,
    particles: $("project-particles").value, repeats: $("project-repeats").value,
  };
  if ($("project-recipe").value) body.recipe = $("project-recipe").value; else body.any_label = true;
  submit("v1/project", body, (answer) => answer, labelsOf(body.recipe));
});

function labelsOf(name) {
  const recipe = choices.recipes.find((each) => each.name === name);
  return recipe ? recipe.labels.map((label) => label.code) : [];
}

for (const tab of document.querySelectorAll("[role=tab]")) {
  const name = tab.id.slice("tab-".length);
  tab.addEventListener("click", () => choose(name));
  tab.addEventListener("keydown", (event) => {
    if (!["ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key)) return;
    event.preventDefault();
    choose({ ArrowLeft: "extract", Home: "extract", ArrowRight: "project", End: "project" }[event.key], true);
  });
}
for (const form of ["extract", "project"]) {
  $(form).addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $(form).requestSubmit();
  });
}
for (const button of document.querySelectorAll("[data-example]")) {
  button.addEventListener("click", () => {
    for (const [field, value] of Object.entries(EXAMPLES[button.dataset.example])) $(`${button.dataset.example}-${field}`).value = value;
  });
}
$("extract-recipe").addEventListener("change", describe);
$("extract-labels").addEventListener("input", checkLabels);
$("key-box").addEventListener("submit", (event) => { event.preventDefault(); key = $("key").value.trim(); loadRecipes(); });
$("copy-json").addEventListener("click", () => copy(JSON.stringify(last, null, 2), "JSON"));
$("copy-markup").addEventListener("click", () => copy(last.markup, "markup"));
$("language").addEventListener("change", () => {
  speak($("language").value);
  try { localStorage.setItem("llmner-language", language); } catch { /* Then it is asked for again. */ }
});
findWords();
speak(remembered() || (navigator.language.startsWith("ko") ? "ko" : "en"));
loadRecipes();
