(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const colour = new Map(Object.entries(data.colours));
  const { element, pager } = listing;

  // Decisions outlive the page, under a name that the corpus and its rows decide.
  let mixed = 0x811c9dc5;
  for (const row of data.rows)
    for (const char of JSON.stringify([row.id, row.text, row.kind, row.start, row.end, row.label, row.suggested, row.attribute])) mixed = Math.imul(mixed ^ char.codePointAt(0), 0x01000193) >>> 0;
  const key = `llmner-audit ${data.name} ${data.rows.length} ${mixed}`;
  const kept = (() => {
    try { return JSON.parse(localStorage.getItem(key)) || {}; } catch { return {}; }
  })();
  data.rows.forEach((row, number) => {
    row.number = number;
    if (kept[number] === "accept" || kept[number] === "keep") row.decision = kept[number];
    row.search = `${row.id ?? ""}\n${row.text}\n${row.reason}`.toLowerCase();
  });

  const labelsOf = (row) => [row.label, row.suggested && row.suggested.label].filter(Boolean);
  const options = (select, values) => {
    const counts = new Map();
    for (const value of values) counts.set(value, (counts.get(value) || 0) + 1);
    for (const [value, count] of [...counts].sort((a, b) => b[1] - a[1])) {
      const option = element("option", "", `${value} (${count})`);
      option.value = value;
      select.append(option);
    }
  };
  options(byId("kind"), data.rows.map((row) => row.kind));
  options(byId("label"), data.rows.flatMap((row) => [...new Set(labelsOf(row))]));
  byId("filters").hidden = false;

  // Offsets count code points; strings here count UTF-16 units.
  const marked = (points, span, kind) => {
    const line = element("span", "text");
    if (span === null) {
      line.append(points.join(""));
      return line;
    }
    const mark = element("mark", `l${colour.get(span.label) ?? 0} ${kind}`, points.slice(span.start, span.end).join(""));
    mark.append(element("span", "tag", span.label));
    line.append(points.slice(0, span.start).join(""), mark, points.slice(span.end).join(""));
    return line;
  };

  const decide = (row, item, decision) => {
    row.decision = row.decision === decision ? null : decision;
    if (row.decision) kept[row.number] = row.decision;
    else delete kept[row.number];
    try { localStorage.setItem(key, JSON.stringify(kept)); } catch { /* They last as long as the page. */ }
    show_decision(row, item);
    told();
  };

  const show_decision = (row, item) => {
    for (const button of item.querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.value === row.decision));
  };

  const item = (row) => {
    const points = Array.from(row.text);
    const made = element("li", "sentence");
    made.tabIndex = 0;
    const name = row.id === null ? `sentence ${row.sentence + 1}` : row.id;
    made.append(element("div", "id", `${name} · ${row.kind} · ${(100 * row.score).toFixed(0)} %`));
    const given = row.start === null || row.kind === "missing" || (row.kind === "duplicate" && row.suggested) ? null : row;
    const line = (title, span, kind) => {
      const both = element("div", "line");
      both.append(element("span", "side", title), marked(points, span, kind));
      made.append(both);
    };
    line("labelled", given, "wrong");
    if (row.attribute) made.append(element("p", "", `${row.label} · ${row.attribute.name}: ${JSON.stringify(row.attribute.value)} → ${JSON.stringify(row.attribute.suggested)}`));
    else if (row.start !== null && row.kind !== "leak") line("suggested", row.suggested, "");
    else if (row.label !== null) made.append(element("p", "", `${row.label}: ${row.kind}`));
    made.append(element("p", "note", row.reason));
    const buttons = element("p", "decisions");
    for (const [value, title] of [["accept", "Accept"], ["keep", "Keep"]]) {
      const button = element("button", "", title);
      button.type = "button";
      button.value = value;
      button.addEventListener("click", () => decide(row, made, value));
      buttons.append(button);
    }
    made.append(buttons);
    made.addEventListener("keydown", (event) => {
      const decision = { a: "accept", k: "keep" }[event.key];
      if (!decision || event.ctrlKey || event.metaKey || event.altKey) return;
      decide(row, made, decision);
      const next = made.nextElementSibling;
      if (row.decision && next) next.focus();
    });
    show_decision(row, made);
    return made;
  };

  const show = pager(item);
  let chosen = [];
  const told = () => {
    const decided = data.rows.filter((row) => row.decision).length;
    byId("shown").textContent = `${chosen.length} of ${data.rows.length} rows, ${decided} decided`;
  };
  const filter = () => {
    const kind = byId("kind").value;
    const label = byId("label").value;
    const decision = byId("decision").value;
    const search = byId("search").value.trim().toLowerCase();
    chosen = data.rows.filter((row) =>
      (!kind || row.kind === kind) &&
      (!label || labelsOf(row).includes(label)) &&
      (!decision || (row.decision || "open") === decision) &&
      (!search || row.search.includes(search)));
    told();
    show(chosen);
  };
  byId("filters").addEventListener("input", filter);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("save").addEventListener("click", () => {
    const rows = data.rows.map(({ number, search, ...row }) => `${JSON.stringify(row)}\n`);
    const link = element("a");
    link.href = URL.createObjectURL(new Blob(rows, { type: "application/x-ndjson" }));
    link.download = `${data.name}.decided.jsonl`;
    link.click();
    URL.revokeObjectURL(link.href);
  });
  filter();
})();
