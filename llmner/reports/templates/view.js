(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const colour = new Map(Object.entries(data.colours));
  const { element, details, pager } = listing;

  const labels = new Map();
  const outcomes = new Map();
  const count = (counts, key) => counts.set(key, (counts.get(key) || 0) + 1);
  for (const row of data.rows) {
    row.search = `${row.id}\n${row.text}`.toLowerCase();
    row.names = new Set([...row.spans.map((span) => span[2]), ...row.labels.map((own) => own[0])]);
    row.kinds = new Set(row.outcomes.map((outcome) => outcome[2]));
    if (row.error) row.kinds.add("no answer");
    const scores = [...row.spans.map((span) => span[3]), ...row.labels.map((own) => own[2])];
    row.least = Math.min(...scores.filter((score) => score !== null), Infinity);
    for (const name of row.names) count(labels, name);
    for (const kind of row.kinds) count(outcomes, kind);
  }
  const options = (select, counts) => {
    for (const [value, number] of counts) {
      const option = element("option", "", `${value.replace("_", " ")} (${number})`);
      option.value = value;
      select.append(option);
    }
  };
  options(byId("label"), [...labels].sort((a, b) => b[1] - a[1]));
  options(byId("outcome"), [...outcomes].sort((a, b) => b[1] - a[1]));
  byId("outcome-filter").hidden = outcomes.size === 0;
  byId("score-filter").hidden = data.rows.every((row) => row.least === Infinity);
  byId("filters").hidden = false;

  const attributes = (values) => Object.entries(values).map(([name, value]) => `${name}=${value}`).join(", ");

  // Offsets count code points; strings here count UTF-16 units.
  const marked = (points, spans) => {
    const line = element("span", "text");
    let at = 0;
    for (const [start, end, label, score, values] of spans) {
      line.append(points.slice(at, start).join(""));
      const mark = element("mark", `l${colour.get(label)}`);
      const said = attributes(values);
      mark.append(points.slice(start, end).join(""), element("span", "tag", said ? `${label} · ${said}` : label));
      mark.title = `${start}–${end}${score === null ? "" : `, score ${score.toFixed(3)}`}`;
      line.append(mark);
      at = end;
    }
    line.append(points.slice(at).join(""));
    return line;
  };

  const item = (row) => {
    const points = Array.from(row.text);
    const made = element("li", "sentence");
    made.append(element("div", "id", row.id), element("div", "", marked(points, row.spans)));
    if (row.labels.length) {
      const list = element("div", "said");
      list.textContent = row.labels
        .map(([label, values, score]) => {
          const said = attributes(values);
          return `${label}${said ? ` (${said})` : ""}${score === null ? "" : ` ${score.toFixed(2)}`}`;
        })
        .join("; ");
      made.append(list);
    }
    if (row.error) made.append(element("div", "worse", `no answer: ${row.error}`));
    const lost = row.outcomes.filter((outcome) => outcome[3] === null);
    if (lost.length) {
      const list = element("ul", "lost");
      for (const [label, text, kind, , reason] of lost)
        list.append(element("li", "", `${label} “${text}”: ${kind.replace("_", " ")}${reason ? ` (${reason})` : ""}`));
      made.append(list);
    }
    if (row.outcomes.length || row.reply !== null) made.append(details(row, points, "reply"));
    return made;
  };

  const show = pager(item);
  const filter = () => {
    const label = byId("label").value;
    const outcome = byId("outcome").value;
    const below = byId("below").value === "" ? Infinity : Number(byId("below").value);
    const search = byId("search").value.trim().toLowerCase();
    const chosen = data.rows.filter((row) =>
      (!label || row.names.has(label)) &&
      (!outcome || row.kinds.has(outcome)) &&
      (below === Infinity || row.least < below) &&
      (!search || row.search.includes(search)));
    byId("shown").textContent = `${chosen.length} of ${data.rows.length} texts`;
    show(chosen);
  };
  byId("filters").addEventListener("input", filter);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  filter();
})();
