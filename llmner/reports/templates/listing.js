"use strict";
// What the pages with long lists of texts share. Everything from the data becomes a text node;
// nothing is ever parsed as markup.
const listing = (() => {
  const PAGE = 40;
  const PRINTED = 1000; // the button says how many are left

  const element = (name, className, ...children) => {
    const made = document.createElement(name);
    if (className) made.className = className;
    made.append(...children);
    return made;
  };

  // What became of each mention, and the raw reply; made when it is opened.
  const details = ({ status, outcomes, reply }, points, otherwise) => {
    const box = element("details");
    const parts = [];
    if (status !== null) parts.push(`reply ${status}`);
    if (outcomes.length) parts.push(`${outcomes.length} mentions`);
    box.append(element("summary", "", parts.join(", ") || otherwise));
    box.addEventListener("toggle", () => {
      if (!box.open || box.childElementCount > 1) return;
      if (outcomes.length) {
        const body = element("tbody");
        for (const [label, text, kind, place, reason] of outcomes) {
          const where = place === null ? "" : `${place[0]}–${place[1]} ${points.slice(place[0], place[1]).join("")}`;
          body.append(element("tr", "", ...[label, text, kind.replace("_", " "), where, reason].map((cell) => element("td", "", cell))));
        }
        const head = element("tr", "", ...["label", "mention", "outcome", "place", "why"].map((name) => element("th", "", name)));
        box.append(element("div", "wide", element("table", "", element("thead", "", head), body)));
      }
      if (reply !== null) box.append(element("pre", "reply", reply));
    });
    return box;
  };

  // Draws a list a page at a time, as it is scrolled; gives a function that starts it anew.
  const pager = (item) => {
    let chosen = [];
    let drawn = 0;
    const list = document.getElementById("list");
    const more = document.getElementById("more");
    const observer = new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting)) draw();
    }, { rootMargin: "1200px 0px 600px" });
    const draw = () => {
      const part = document.createDocumentFragment();
      for (const row of chosen.slice(drawn, drawn + PAGE)) part.append(item(row));
      drawn = Math.min(drawn + PAGE, chosen.length);
      list.append(part);
      const left = chosen.length - drawn;
      more.hidden = left === 0;
      more.textContent = `Show more (${left} left)`;
      // An observer tells of changes only: where the button is still in sight, it must be told to look again.
      observer.unobserve(more);
      if (left) observer.observe(more);
    };
    more.addEventListener("click", () => draw());
    window.addEventListener("beforeprint", () => {
      while (drawn < Math.min(chosen.length, PRINTED)) draw();
    });
    return (rows) => {
      chosen = rows;
      list.replaceChildren();
      drawn = 0;
      draw();
    };
  };

  return { element, details, pager };
})();
