"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const titles = new Map(data.causes.map(([cause, title]) => [cause, title]));
  const causeNumber = new Map(data.causes.map(([cause], number) => [cause, number]));
  const colour = new Map(data.labels.map((label, number) => [label, number % 8]));
  const PAGE = 40;

  // Everything from the data becomes a text node; nothing is ever parsed as markup.
  const element = (name, className, ...children) => {
    const made = document.createElement(name);
    if (className) made.className = className;
    made.append(...children);
    return made;
  };

  const causes = new Map();
  const labels = new Map();
  for (const sentence of data.sentences) {
    sentence.search = `${sentence.id}\n${sentence.text}`.toLowerCase();
    const seenCauses = new Set();
    const seenLabels = new Set();
    for (const run of sentence.runs)
      for (const [, , , label, cause] of run.faults) {
        seenCauses.add(cause);
        seenLabels.add(label);
      }
    for (const cause of seenCauses) causes.set(cause, (causes.get(cause) || 0) + 1);
    for (const label of seenLabels) labels.set(label, (labels.get(label) || 0) + 1);
  }
  const options = (select, entries) => {
    for (const [value, title, count] of entries) {
      const option = element("option", "", count === null ? title : `${title} (${count})`);
      option.value = value;
      select.append(option);
    }
  };
  options(byId("cause"), data.causes.filter(([c]) => causes.has(c)).map(([c, title]) => [c, title, causes.get(c)]));
  options(byId("label"), data.labels.filter((l) => labels.has(l)).map((l) => [l, l, labels.get(l)]));
  if (data.runs.length > 1) {
    options(byId("run"), data.runs.map((name, number) => [String(number), name, null]));
    options(byId("run"), [["differ", "where they differ", null]]);
    byId("run-filter").hidden = false;
  }
  byId("filters").hidden = false;

  // Offsets count code points; strings here count UTF-16 units.
  const marked = (points, spans, faults) => {
    const line = element("span", "text");
    const wrong = new Map(faults.map((fault) => [`${fault[1]},${fault[2]},${fault[3]}`, fault[4]]));
    let at = 0;
    for (const [start, end, label, score] of spans) {
      line.append(points.slice(at, start).join(""));
      const cause = wrong.get(`${start},${end},${label}`);
      const mark = element("mark", `l${colour.get(label) ?? 0}${cause === undefined ? "" : " wrong"}`);
      mark.append(points.slice(start, end).join(""), element("span", "tag", label));
      if (cause !== undefined) mark.title = titles.get(cause) ?? cause;
      else if (typeof score === "number") mark.title = `confidence ${score.toFixed(2)}`;
      line.append(mark);
      at = end;
    }
    line.append(points.slice(at).join(""));
    return line;
  };

  const details = (run, points) => {
    const box = element("details");
    const parts = [];
    if (run.status !== null) parts.push(`reply ${run.status}`);
    if (run.outcomes.length) parts.push(`${run.outcomes.length} mentions`);
    box.append(element("summary", "", parts.join(", ") || "errors"));
    box.addEventListener("toggle", () => {
      if (!box.open || box.childElementCount > 1) return;
      if (run.outcomes.length) {
        const body = element("tbody");
        for (const [label, text, kind, place, reason] of run.outcomes) {
          const where = place === null ? "" : `${place[0]}–${place[1]} ${points.slice(place[0], place[1]).join("")}`;
          body.append(element("tr", "", ...[label, text, kind, where, reason].map((cell) => element("td", "", cell))));
        }
        const head = element("tr", "", ...["label", "mention", "outcome", "place", "why"].map((h) => element("th", "", h)));
        box.append(element("div", "wide", element("table", "", element("thead", "", head), body)));
      }
      if (run.reply !== null) box.append(element("pre", "reply", run.reply));
    });
    return box;
  };

  const item = (sentence) => {
    const points = Array.from(sentence.text);
    const made = element("li", "sentence");
    made.append(element("div", "id", sentence.id));
    const missed = [];
    const goldFaults = sentence.runs.flatMap((run) => run.faults.filter(([kind]) => kind === "missed"));
    made.append(element("div", "line", element("span", "side", "gold"), marked(points, sentence.gold, goldFaults)));
    sentence.runs.forEach((run, number) => {
      const name = data.runs.length > 1 ? data.runs[number] : "predicted";
      const wrong = run.faults.filter(([kind]) => kind === "wrong");
      made.append(element("div", "line", element("span", "side", name), marked(points, run.spans, wrong)));
      const list = element("ul", "faults");
      for (const [kind, start, end, label, cause] of run.faults) {
        const swatch = element("span", `swatch c${causeNumber.get(cause)}`);
        const surface = points.slice(start, end).join("");
        list.append(
          element("li", "", swatch, `${titles.get(cause) ?? cause}: `, element("b", "", surface),
            ` ${label} `, element("span", "ci", kind === "missed" ? "not found" : "wrong")),
        );
      }
      made.append(list);
      if (run.reply !== null || run.outcomes.length) made.append(details(run, points));
    });
    return made;
  };

  let chosen = [];
  let drawn = 0;
  const list = byId("list");
  const more = byId("more");
  const draw = () => {
    const part = document.createDocumentFragment();
    for (const sentence of chosen.slice(drawn, drawn + PAGE)) part.append(item(sentence));
    drawn = Math.min(drawn + PAGE, chosen.length);
    list.append(part);
  };
  const same = (a, b) => a.length === b.length && a.every((span, at) => span.slice(0, 3).join() === b[at].slice(0, 3).join());
  const filter = () => {
    const cause = byId("cause").value;
    const label = byId("label").value;
    const run = byId("run").value;
    const search = byId("search").value.trim().toLowerCase();
    chosen = data.sentences.filter((sentence) => {
      if (search && !sentence.search.includes(search)) return false;
      if (run === "differ" && sentence.runs.every((one) => same(one.spans, sentence.runs[0].spans))) return false;
      const runs = run === "" || run === "differ" ? sentence.runs : [sentence.runs[Number(run)]];
      return runs.some((one) => one.faults.some((fault) =>
        (!cause || fault[4] === cause) && (!label || fault[3] === label)));
    });
    byId("shown").textContent = `${chosen.length} of ${data.sentences.length} wrong sentences`;
    list.replaceChildren();
    drawn = 0;
    draw();
  };
  new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting) && drawn < chosen.length) draw();
  }, { rootMargin: "1200px" }).observe(more);
  byId("filters").addEventListener("input", filter);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  filter();
})();
