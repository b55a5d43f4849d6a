(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const titles = new Map(data.causes.map(([cause, title]) => [cause, title]));
  const causeNumber = new Map(data.causes.map(([cause], number) => [cause, number]));
  const colour = new Map(Object.entries(data.colours));
  const { element, details, pager } = listing;

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
  // ``judged`` says of a span which runs have it wrong, and why: [[run, cause], ...].
  const marked = (points, spans, judged, outOf) => {
    const line = element("span", "text");
    let at = 0;
    for (const [start, end, label, score] of spans) {
      line.append(points.slice(at, start).join(""));
      const causes = judged(`${start},${end},${label}`);
      const kind = causes.length === 0 ? "" : causes.length < outOf ? " some" : " wrong";
      const mark = element("mark", `l${colour.get(label) ?? 0}${kind}`);
      mark.append(points.slice(start, end).join(""), element("span", "tag", label));
      if (causes.length) {
        const told = causes.map(([run, cause]) => (outOf > 1 ? `${run}: ` : "") + (titles.get(cause) ?? cause)).join("; ");
        mark.title = told;
        mark.append(element("span", "unseen", ` (${told})`));
      } else if (typeof score === "number") mark.title = `confidence ${score.toFixed(2)}`;
      line.append(mark);
      at = end;
    }
    line.append(points.slice(at).join(""));
    return line;
  };

  // Labels of the text and attributes of its spans; those that gold does not have stand out.
  const saidLine = (said, gold = null) => {
    if (!said.length && gold === null) return [];
    const line = element("span", "said");
    said.forEach((name, number) => {
      if (number) line.append("; ");
      line.append(gold === null || gold.has(name) ? name : element("b", "", name));
    });
    if (!said.length) line.append("–");
    return [element("div", "line", element("span", "side", ""), line)];
  };

  const item = (sentence) => {
    const points = Array.from(sentence.text);
    const made = element("li", "sentence");
    made.append(element("div", "id", sentence.id));
    const causes = (runs, wanted) => (key) => runs.flatMap((run) =>
      run.faults
        .filter(([kind, start, end, label]) => kind === wanted && `${start},${end},${label}` === key)
        .map((fault) => [data.runs[sentence.runs.indexOf(run)], fault[4]]));
    const goldLine = marked(points, sentence.gold, causes(sentence.runs, "missed"), sentence.runs.length);
    made.append(element("div", "line", element("span", "side", "gold"), goldLine));
    made.append(...saidLine(sentence.said));
    sentence.runs.forEach((run, number) => {
      const name = data.runs.length > 1 ? data.runs[number] : "predicted";
      const line = marked(points, run.spans, causes([run], "wrong"), 1);
      made.append(element("div", "line", element("span", "side", name), line));
      made.append(...saidLine(run.said, run.differs ? new Set(sentence.said) : null));
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
      if (run.reply !== null || run.outcomes.length) made.append(details(run, points, "errors"));
    });
    return made;
  };

  const show = pager(item);
  const same = (a, b) => a.length === b.length && a.every((span, at) => span.slice(0, 3).join() === b[at].slice(0, 3).join());
  const filter = () => {
    const cause = byId("cause").value;
    const label = byId("label").value;
    const run = byId("run").value;
    const search = byId("search").value.trim().toLowerCase();
    const chosen = data.sentences.filter((sentence) => {
      if (search && !sentence.search.includes(search)) return false;
      if (run === "differ" && sentence.runs.every((one) => same(one.spans, sentence.runs[0].spans))) return false;
      const runs = run === "" || run === "differ" ? sentence.runs : [sentence.runs[Number(run)]];
      return runs.some((one) => (one.differs && !cause && !label) || one.faults.some((fault) =>
        (!cause || fault[4] === cause) && (!label || fault[3] === label)));
    });
    byId("shown").textContent = `${chosen.length} of ${data.sentences.length} wrong sentences`;
    show(chosen);
  };
  byId("filters").addEventListener("input", filter);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  filter();
})();
