"use strict";
// What reading does not need: theme, sorting, search, filters, columns, the state in the address, downloads.
// Order, ties and intervals are made when the page is built; nothing here computes a statistic.

const THEMES = ["system", "light", "dark"];
const HUB = "https://huggingface.co";
const FACETS = { kind: "Rows", status: "Status", track: "Track", weights: "Weights", size: "Parameters", trained: "Trained on" };
const words = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

function storedTheme() {
  try { return localStorage.getItem("theme"); } catch { return null; }  // no storage in some files and frames
}

function showTheme(theme) {
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
}

function element(tag, facts = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(facts)) {
    if (name === "on") for (const [event, run] of Object.entries(value)) made.addEventListener(event, run);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function button(label, run) {
  return element("button", { type: "button", on: { click: run } }, label);
}

function addThemeButton() {
  const current = () => THEMES.includes(storedTheme()) ? storedTheme() : "system";
  const made = button("", () => {
    const next = THEMES[(THEMES.indexOf(current()) + 1) % THEMES.length];
    try { localStorage.setItem("theme", next); } catch { /* it lasts as long as the page, then */ }
    showTheme(next);
    made.textContent = `Theme: ${next}`;
  });
  made.className = "theme";
  made.textContent = `Theme: ${current()}`;
  document.querySelector(".top").append(made);
}

// --- state in the address: #sort=target-jf&dir=down&q=...; tables after the first carry their id before a dot

function readState() {
  const text = location.hash.slice(1);
  return new URLSearchParams(text.includes("=") ? text : "");
}

let written = 0;
function writeState(boards) {
  clearTimeout(written);
  written = setTimeout(() => {
    const state = new URLSearchParams();
    for (const board of boards) for (const [name, value] of board.state()) state.append(board.prefix + name, value);
    const hash = state.size ? `#${state}` : "";
    if (hash === location.hash) return;
    history.replaceState(null, "", hash || location.pathname + location.search);
    tellParent();
  }, 120);
}

function tellParent() {
  if (window.parent !== window) window.parent.postMessage({ queryString: "", hash: location.hash }, HUB);
}

// --- a table

class Board {
  constructor(table, first, changed) {
    this.table = table;
    this.prefix = first ? "" : `${table.id}.`;
    this.changed = () => changed();
    this.heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    this.columns = this.heads.map((cell, index) => ({
      cell, index, id: cell.dataset.col, numeric: cell.dataset.kind === "number", low: cell.dataset.better === "low",
      extra: cell.classList.contains("extra"), label: cell.textContent.trim(), shown: true,
    }));
    this.rows = [...table.tBodies[0].rows].map((row, order) => ({
      row, order, text: row.textContent.toLowerCase(), shown: true,
      keys: this.columns.map((column) => this.key(row.cells[column.index], column)),
    }));
    this.sorted = null;
    this.query = "";
    this.chosen = new Map();
    for (const column of this.columns) this.makeSortable(column);
    if (this.isBig()) this.addBar();
    this.apply(readState());
  }

  isBig() { return this.table.classList.contains("computed"); }

  key(cell, column) {
    if (!cell) return null;
    if (!column.numeric) return cell.textContent.trim();
    return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
  }

  makeSortable(column) {
    if (!column.id) return;
    const control = button("", () => this.sort(column, this.nextDirection(column)));
    control.className = "sort";
    control.append(...column.cell.childNodes, element("span", { class: "arrow", "aria-hidden": "true" }));
    column.cell.append(control);
  }

  nextDirection(column) {
    const first = column.numeric && !column.low ? "down" : "up";
    if (this.sorted?.column !== column) return first;
    return this.sorted.direction === "down" ? "up" : "down";
  }

  sort(column, direction, quiet = false) {
    this.sorted = column ? { column, direction } : null;
    for (const one of this.columns) one.cell.removeAttribute("aria-sort");
    let ordered = this.rows;
    if (column) {
      column.cell.setAttribute("aria-sort", direction === "down" ? "descending" : "ascending");
      const sign = direction === "down" ? -1 : 1, index = column.index;
      ordered = [...this.rows].sort((one, two) => {
        const a = one.keys[index], b = two.keys[index];
        if (a === null || b === null) return (a === null) - (b === null) || one.order - two.order;
        return sign * (column.numeric ? a - b : words.compare(a, b)) || one.order - two.order;
      });
    }
    this.table.tBodies[0].append(...ordered.map((one) => one.row));
    if (!quiet) this.changed();
  }

  // --- search and facets

  addBar() {
    this.search = element("input", { type: "search", "aria-label": "Search rows", placeholder: "Search rows",
      on: { input: () => { this.query = this.search.value; this.filter(); this.changed(); } } });
    this.count = element("output", { class: "count", "aria-live": "polite" });
    const bar = element("div", { class: "bar-of-board" }, this.search);
    const facets = this.facets();
    if (facets) bar.append(facets);
    bar.append(this.columnMenu(), this.viewMenu(), this.count);
    this.table.closest(".scroll").before(bar);
  }

  facets() {
    const fields = [];
    for (const [name, title] of Object.entries(FACETS)) {
      const values = new Map();
      for (const one of this.rows)
        for (const value of this.facetValues(one, name)) values.set(value, (values.get(value) ?? 0) + 1);
      if (values.size < 2) continue;
      this.chosen.set(name, new Set());
      const boxes = [...values].sort((a, b) => words.compare(a[0], b[0])).map(([value, count]) =>
        this.checkbox(`${value} (${count})`, { "data-facet": name, "data-value": value }, (on) => {
          this.chosen.get(name)[on ? "add" : "delete"](value);
          this.filter();
          this.changed();
        }));
      fields.push(element("fieldset", {}, element("legend", {}, title), ...boxes));
    }
    if (!fields.length) return null;
    return this.menu("Filter", ...fields);
  }

  facetValues(one, name) {
    return (one.row.dataset[name] ?? "").split(", ").map((value) => value || "unknown");
  }

  filter() {
    const wanted = this.query.trim().toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const one of this.rows) {
      one.shown = wanted.every((word) => one.text.includes(word)) && [...this.chosen].every(([name, values]) =>
        !values.size || this.facetValues(one, name).some((value) => values.has(value)));
      one.row.hidden = !one.shown;
      shown += one.shown;
    }
    if (this.count) this.count.textContent = shown === this.rows.length ? `${shown} rows` : `${shown} of ${this.rows.length} rows`;
  }

  checkbox(label, facts, run) {
    const box = element("input", { type: "checkbox", ...facts, on: { change: () => run(box.checked) } });
    return element("label", {}, box, " ", label);
  }

  menu(title, ...children) {
    const made = element("details", { class: "menu" }, element("summary", {}, title),
      element("div", { class: "panel" }, ...children));
    made.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !made.open) return;
      made.open = false;
      made.querySelector("summary").focus();
    });
    return made;
  }

  // --- columns

  columnMenu() {
    const boxes = this.columns.slice(1).map((column) => {
      const head = column.cell.dataset.head ?? "";
      const group = this.table.tHead.querySelector(`tr.heads [data-head="${head}"]`)?.textContent.trim() ?? "";
      column.full = ["Roles", "Facts", ""].includes(group) ? column.label : `${group} ${column.label}`;
      const label = this.checkbox(column.full, { "data-toggle": column.id }, (on) => {
        column.shown = on;
        this.showColumns();
        this.changed();
      });
      column.box = label.firstChild;
      return label;
    });
    const preset = (wanted) => () => {
      for (const column of this.columns.slice(1)) column.shown = wanted(column);
      this.showColumns();
      this.changed();
    };
    const presets = element("div", { class: "presets" }, button("Headline", preset((one) => !one.extra)),
      button("Scores alone", preset((one) => /-(jf|j|f)$/.test(one.id))), button("All", preset(() => true)));
    return this.menu("Columns", presets, element("fieldset", {}, element("legend", {}, "Shown"), ...boxes));
  }

  showColumns() {
    for (const column of this.columns) {
      if (column.box) column.box.checked = column.shown;
      column.cell.hidden = !column.shown;
      for (const one of this.rows) one.row.cells[column.index].hidden = !column.shown;
    }
    for (const head of this.table.tHead.querySelectorAll("tr.heads [data-head]")) {
      const width = this.columns.filter((one) => one.shown && one.cell.dataset.head === head.dataset.head).length;
      head.hidden = width === 0;
      if (width) head.colSpan = width;
    }
  }

  // --- the view as a file

  viewMenu() {
    const copy = button("Copy link", () => this.copy(copy, location.href));
    const cite = button("Cite this view", () => this.copy(cite, this.citation()));
    return this.menu("Share", element("div", { class: "presets" }, copy, cite),
      element("div", { class: "presets" }, "This view as", button("CSV", () => this.save("csv", this.csv())),
        button("JSON", () => this.save("json", this.json())), button("LaTeX", () => this.save("tex", this.latex()))));
  }

  async copy(control, text) {
    const label = control.textContent;
    try { await navigator.clipboard.writeText(text); control.textContent = "Copied"; }
    catch { window.prompt("Copy this:", text); }
    setTimeout(() => { control.textContent = label; }, 1500);
  }

  citation() {
    const state = document.querySelector("footer").textContent.trim();
    return `${document.title}. ${state} ${location.href}`;
  }

  view() {
    const columns = this.columns.filter((one) => one.shown && one.id);
    const rows = [...this.table.tBodies[0].rows].filter((row) => !row.hidden);
    return {
      head: columns.map((one) => one.full ?? one.label),
      rows: rows.map((row) => columns.map((one) => {
        const cell = row.cells[one.index];
        if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
        const name = one.index === 0 ? cell.querySelector("a") : null;
        return (name ?? cell).textContent.trim().replace(/\s+/g, " ");
      })),
    };
  }

  csv() {
    const cell = (value) => {
      if (typeof value === "number") return String(value);
      const guarded = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
      return /[",\n]/.test(guarded) ? `"${guarded.replaceAll('"', '""')}"` : guarded;
    };
    const { head, rows } = this.view();
    return [head, ...rows].map((row) => row.map(cell).join(",")).join("\n") + "\n";
  }

  json() {
    const { head, rows } = this.view();
    return JSON.stringify({ board: this.table.id, view: location.hash, columns: head, rows }, null, 1) + "\n";
  }

  latex() {
    const signs = { "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}" };
    const text = (value) => typeof value === "number" ? (Number.isInteger(value) ? String(value) : value.toFixed(2))
      : value.replace(/[\\~^&%$#_{}]/g, (sign) => signs[sign] ?? `\\${sign}`);
    const { head, rows } = this.view();
    const lines = [head, ...rows].map((row) => `${row.map(text).join(" & ")} \\\\`);
    const format = this.columns.filter((one) => one.shown && one.id).map((one) => one.numeric ? "r" : "l").join("");
    return [`\\begin{tabular}{${format}}`, `${lines[0]} \\hline`, ...lines.slice(1), "\\end{tabular}", ""].join("\n");
  }

  save(ending, text) {
    const link = element("a", { download: `${this.table.id}-view.${ending}`,
      href: URL.createObjectURL(new Blob([text], { type: "text/plain;charset=utf-8" })) });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  // --- state

  *state() {
    if (this.sorted) {
      yield ["sort", this.sorted.column.id];
      yield ["dir", this.sorted.direction];
    }
    if (this.query.trim()) yield ["q", this.query.trim()];
    for (const [name, values] of this.chosen) for (const value of values) yield [name, value];
    if (this.search && this.columns.slice(1).some((one) => one.shown === one.extra))
      yield ["cols", this.columns.slice(1).filter((one) => one.shown).map((one) => one.id).join(".") || "none"];
  }

  apply(state) {
    const get = (name) => state.get(this.prefix + name);
    const column = this.columns.find((one) => one.id === get("sort"));
    if (column || this.sorted) this.sort(column ?? null, get("dir") === "down" ? "down" : "up", true);
    if (!this.search) return;
    this.search.value = this.query = get("q") ?? "";
    for (const [name, values] of this.chosen) {
      values.clear();
      for (const value of state.getAll(this.prefix + name)) values.add(value);
    }
    for (const box of this.table.closest(".scroll").previousElementSibling.querySelectorAll("[data-facet]"))
      box.checked = this.chosen.get(box.dataset.facet).has(box.dataset.value);
    this.filter();
    const shown = get("cols")?.split(".");
    for (const one of this.columns.slice(1)) one.shown = shown ? shown.includes(one.id) : !one.extra;
    this.showColumns();
  }
}

// --- two to four models side by side: #models=a,b

class Comparison {
  constructor(place) {
    this.place = place;
    this.ids = place.dataset.models.split(" ");
    const names = new Map([...document.querySelectorAll("table.side th[data-model]")].map((cell) =>
      [cell.dataset.model, cell.textContent.trim()]));
    this.boxes = new Map();
    const labels = this.ids.map((id) => {
      const box = element("input", { type: "checkbox", on: { change: () => this.choose(id, box.checked) } });
      this.boxes.set(id, box);
      return element("label", {}, box, " ", names.get(id));
    });
    this.said = element("output", { class: "count", "aria-live": "polite" });
    place.append(element("fieldset", { class: "choice" }, element("legend", {}, "Rows to compare, two to four"), ...labels), this.said);
    this.read();
  }

  read() {
    const wanted = (readState().get("models") ?? "").split(",").filter((id) => this.ids.includes(id));
    this.chosen = [...new Set(wanted)].slice(0, 4);
    for (const id of this.place.dataset.first.split(" ")) if (this.chosen.length < 2 && !this.chosen.includes(id)) this.chosen.push(id);
    this.show();
  }

  choose(id, on) {
    this.chosen = on ? [...this.chosen, id] : this.chosen.filter((one) => one !== id);
    history.replaceState(null, "", `#models=${this.chosen.join(",")}`);
    tellParent();
    this.show();
  }

  show() {
    for (const [id, box] of this.boxes) {
      box.checked = this.chosen.includes(id);
      box.disabled = box.checked ? this.chosen.length <= 2 : this.chosen.length >= 4;
    }
    for (const cell of document.querySelectorAll("table.side [data-model]"))
      cell.hidden = !this.chosen.includes(cell.dataset.model);
    for (const pair of document.querySelectorAll("#pairs li"))
      pair.hidden = !(this.chosen.includes(pair.dataset.one) && this.chosen.includes(pair.dataset.two));
    this.said.textContent = `${this.chosen.length} of ${this.ids.length} rows`;
  }
}

showTheme(storedTheme());
document.addEventListener("DOMContentLoaded", () => {
  addThemeButton();
  const boards = [];
  const changed = () => writeState(boards);
  const video = readState().get("video");  // a link to a clip, wherever its page lies
  for (const link of document.querySelectorAll("#clips a[data-video]"))
    if (link.dataset.video === video) location.replace(link.getAttribute("href") + location.hash);
  for (const table of document.querySelectorAll("table[data-board]"))
    boards.push(new Board(table, boards.length === 0, changed));
  const place = document.getElementById("compare-choice");
  const comparison = place ? new Comparison(place) : null;
  window.addEventListener("hashchange", () => {
    comparison?.read();
    for (const board of boards) board.apply(readState());
    tellParent();
  });
});
