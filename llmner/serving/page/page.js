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
let choices = { recipes: [], repairs: {} };
let key = "";
let last = null;
let pending = null;
// What the shown result was asked with; null where a reply was projected.
let explained = null;

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
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  if (response.status === 401) { $("key-box").hidden = false; $("key").focus(); }
  throw new Error(answer.error ? answer.error.message : `the server answers ${response.status}`);
}

function tell(message, failed) {
  $("status").textContent = message;
  $("status").classList.toggle("error", Boolean(failed));
}

async function loadRecipes() {
  try {
    choices = await ask("v1/recipes");
  } catch (error) {
    tell(error.message, true);
    return;
  }
  $("key-box").hidden = true;
  tell("");
  for (const id of ["extract-recipe", "project-recipe"]) {
    $(id).replaceChildren(...choices.recipes.map((recipe) => {
      const option = element("option", recipe.name);
      option.value = recipe.name;
      option.selected = recipe.name === choices.default;
      return option;
    }));
  }
  const any = element("option", "as the reply has them");
  any.value = "";
  $("project-recipe").append(any);
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
  describe();
}

function describe() {
  if (choices.tagger) {
    $("extract-about").textContent = `A tagger. ${choices.tagger.join(", ")}`;
    return;
  }
  const recipe = choices.recipes.find((each) => each.name === $("extract-recipe").value);
  if (!recipe) return;
  const names = recipe.labels.map((label) => (label.name ? `${label.code} ${label.name}` : label.code));
  $("extract-about").textContent = `${recipe.description} ${names.join(", ")}`.trim();
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

async function submit(path, body, pick, labels) {
  if (pending) pending.abort();
  const controller = pending = new AbortController();
  tell("Asking…");
  $("result").hidden = true;
  const started = performance.now();
  try {
    const row = pick(await ask(path, body, controller.signal));
    if (row.error) throw new Error(row.error);
    show(row, labels);
    const about = row.label_outcomes !== undefined;
    const count = about ? row.labels.length : row.spans.length;
    const seconds = (performance.now() - started) / 1000;
    tell(`${count} ${about ? (count === 1 ? "label" : "labels") : count === 1 ? "entity" : "entities"} in ${seconds.toFixed(seconds < 10 ? 2 : 0)} s`);
    $("result-title").focus({ preventScroll: false });
  } catch (error) {
    if (error.name !== "AbortError") tell(error.message, true);
  } finally {
    if (pending === controller) pending = null;
  }
}

function show(row, labels) {
  last = row;
  const order = [...labels, ...row.spans.map((span) => span.label)].filter((each, index, all) => all.indexOf(each) === index);
  const colour = (label) => `l${order.indexOf(label) % 8}`;
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
    const kind = element("td", outcome.kind.replace("_", " "));
    if (outcome.reason) kind.append(" ", element("span", `(${outcome.reason})`, "reason"));
    line.append(
      label,
      element("td", placed ? slice(outcome.start, outcome.end) : "", "text-cell"),
      element("td", placed ? String(outcome.start) : "", "number"),
      element("td", placed ? String(outcome.end) : "", "number"),
      element("td", score === null || score === undefined ? "" : score.toFixed(3), "number"),
      kind,
      element("td", outcome.text, "text-cell"),
    );
    return line;
  }));

  showLabels(row, slice);
  const words = { ok: "It has the expected format.", repaired: "It had to be repaired:", truncated: "It was cut off; complete entities count.", empty: "It is empty.", unreadable: "Nothing in it could be read." };
  $("reading").textContent = row.status === undefined ? "A tagger gives no reply." : words[row.status] || row.status;
  $("repairs").replaceChildren(...(row.repairs || []).map((repair) => element("li", choices.repairs[repair] || repair)));
  $("raw").textContent = row.reply || "";
  $("raw").hidden = row.reply === undefined;
  $("mentions").classList.toggle("spans", row.outcomes === undefined);
  $("copy-markup").disabled = row.markup === null;
  $("explain").hidden = explained === null;
  $("why").hidden = true;
  $("result").hidden = false;
}

// Attributes that a span or a label has, and what the recipe does not know of them.
function attributesOf(outcome, values) {
  const known = Object.entries(values || {}).map(([name, value]) => `${name}: ${value}`);
  const others = (outcome.attribute_outcomes || []).filter((each) => !["exact", "normalized"].includes(each.kind));
  const unknown = others.map((each) => `${each.name}${each.said === null ? "" : `: ${each.said}`} (${each.kind.replace("_", " ")})`);
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
      const attributes = attributesOf(outcome, each.attributes);
      if (attributes) line.append(" ", element("span", attributes, "attributes"));
      const evidence = (each.evidence || []).map((part) => slice(part.start, part.end)).join(", ");
      if (evidence) line.append(" ", element("q", evidence));
      return line;
    }),
    ...lost.map((each) => element("li", `${each.label} (${each.kind.replace("_", " ")})`, "lost")),
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
    if (!done) { tell("the browser does not allow this page to copy", true); return; }
  }
  tell(`Copied as ${what}`);
}

// The options of the form for texts, as a request has them.
function asked() {
  const body = {};
  if (!choices.tagger) {
    body.recipe = $("extract-recipe").value;
    if ($("extract-format").value) body.reply_format = $("extract-format").value;
    if (!$("extract-grounded").disabled) body.grounded = $("extract-grounded").checked;
  }
  if ($("extract-score").value) body.min_score = Number($("extract-score").value);
  return body;
}

$("extract").addEventListener("submit", (event) => {
  event.preventDefault();
  const body = { texts: [$("extract-text").value], ...asked() };
  explained = { text: body.texts[0], ...asked() };
  submit("v1/extract", body, (answer) => answer.results[0], choices.tagger || labelsOf(body.recipe));
});

$("explain").addEventListener("click", async () => {
  if (pending) pending.abort();
  const controller = pending = new AbortController();
  tell("Asking once for each word…");
  try {
    const answer = await ask("v1/explain", explained, controller.signal);
    showWhy(answer.text, answer.explanations);
    tell(answer.explanations.length ? "The marked word counts most." : "There is nothing to explain.");
  } catch (error) {
    if (error.name !== "AbortError") tell(error.message, true);
  } finally {
    if (pending === controller) pending = null;
  }
});

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
$("key-box").addEventListener("submit", (event) => { event.preventDefault(); key = $("key").value.trim(); loadRecipes(); });
$("copy-json").addEventListener("click", () => copy(JSON.stringify(last, null, 2), "JSON"));
$("copy-markup").addEventListener("click", () => copy(last.markup, "markup"));
loadRecipes();
