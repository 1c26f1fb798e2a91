"use strict";
(() => {
  // Tables: a click on a heading sorts by that column, first from the highest; what is no number comes last.
  const numberIn = (text) => Number.parseFloat(text.replace(/,/g, ""));

  function sort(table, column, heading, ascending) {
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => ({ row, text: row.cells[column].textContent.trim() }));
    const numeric = rows.some(({ text }) => !Number.isNaN(numberIn(text)));
    const sign = ascending ? 1 : -1;
    rows.sort((one, other) => {
      if (!numeric) return sign * one.text.localeCompare(other.text);
      const [a, b] = [numberIn(one.text), numberIn(other.text)];
      if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
      return sign * (a - b);
    });
    body.append(...rows.map(({ row }) => row));
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((heading, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => {
        const words = column === 0 || heading.classList.contains("words");
        const before = heading.getAttribute("aria-sort");
        sort(table, column, heading, before ? before === "descending" : words);
      });
    });
  }

  // Charts: the legend shows and hides lines; the pointer or the arrow keys read the values at a place.
  const make = (svg, name, attributes) => {
    const element = document.createElementNS(svg.namespaceURI, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };

  function readLine(group) {
    const places = group.querySelector("polyline").getAttribute("points").trim().split(/\s+/);
    const [xs, ys] = [group.dataset.x.split(" "), group.dataset.y.split(" ")];
    const points = places.map((place, index) => {
      const [left, top] = place.split(",").map(Number);
      return { left, top, x: xs[index], y: ys[index] };
    });
    return { group, name: group.dataset.name, points };
  }

  function enliven(figure) {
    const svg = figure.querySelector("svg");
    const lines = [...svg.querySelectorAll("g.line")].map(readLine);
    const shown = () => lines.filter((line) => !line.group.hasAttribute("display"));
    const readout = document.createElement("p");
    readout.className = "readout";
    readout.setAttribute("role", "status");
    readout.textContent = "Point at the curves, or focus them and press the arrow keys, to read values.";
    figure.append(readout);
    const [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
    const frame = svg.dataset.frame.split(" ").map(Number);
    const over = make(svg, "g", {});
    svg.append(over);
    svg.setAttribute("tabindex", "0");
    let at = null;

    const places = () => {
      const found = new Map(shown().flatMap(({ points }) => points.map(({ left, x }) => [left, x])));
      return [...found].sort(([one], [other]) => one - other);
    };

    function read(place) {
      at = place;
      over.replaceChildren();
      const found = places();
      if (!found.length) readout.textContent = "Every line is hidden.";
      if (!found.length || place === null) return;
      const nearest = found.reduce((best, one) => (Math.abs(one[0] - place) < Math.abs(best[0] - place) ? one : best));
      const [left, x] = nearest;
      at = left;
      over.append(make(svg, "line", { class: "cursor", x1: left, x2: left, y1: frame[1], y2: frame[3] }));
      const parts = [];
      for (const line of shown()) {
        const point = line.points.find((one) => one.left === left);
        if (!point) continue;
        const mark = make(svg, "circle", { cx: left, cy: point.top, r: 5 });
        mark.setAttribute("class", line.group.getAttribute("class").replace("line ", ""));
        over.append(mark);
        parts.push(`${line.name}: ${point.y}`);
      }
      readout.textContent = `${figure.dataset.x} ${x} \u2014 ${parts.join("; ")}`;
    }

    const pointed = (event) => {
      const box = svg.getBoundingClientRect();
      read(((event.clientX - box.left) / box.width) * width);
    };
    svg.addEventListener("pointermove", pointed);
    svg.addEventListener("pointerdown", pointed);
    svg.addEventListener("keydown", (event) => {
      const found = places().map(([left]) => left);
      const here = found.indexOf(at);
      const next = { ArrowLeft: Math.max(here - 1, 0), ArrowRight: here + 1, Home: 0, End: found.length - 1 }[event.key];
      if (next === undefined || !found.length) return;
      event.preventDefault();
      read(found[Math.min(next, found.length - 1)]);
    });

    for (const [index, item] of [...figure.querySelectorAll(".legend li")].entries()) {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-pressed", "true");
      button.append(...item.childNodes);
      item.append(button);
      button.addEventListener("click", () => {
        const { group } = lines[index];
        if (group.toggleAttribute("display")) group.setAttribute("display", "none");
        button.setAttribute("aria-pressed", String(!group.hasAttribute("display")));
        read(at);
      });
    }
  }

  document.querySelectorAll("figure.chart").forEach(enliven);
})();
