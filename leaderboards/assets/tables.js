// Tables: sorting, search, filters, columns, the state in the address.
// Order, ties and intervals are made when the page is built; nothing here computes a statistic.
// A board of many rows holds its first ones; a script with all of them is asked for at the first touch.

const FACETS = { kind: "Rows", status: "Status", track: "Track", weights: "Weights", size: "Parameters", trained: "Trained on" };
const STEP = 50;  // rows of a board of many that are shown at once
const CHUNK = 100;  // rows that are made, or put on the page, before the reader's next event gets its turn
const words = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
const number = new Intl.NumberFormat("en");
const waiting = new Map();

// What a script of rows calls. The texts were escaped when the page was built, like those of the page itself.
function boardRows(id, shapes, shared, rows) {
  waiting.get(id)?.(rows.map(([shape, ...values]) => shapes[shape].map((text, at) =>
    at < values.length ? text + (typeof values[at] === "number" ? shared[values[at]] : values[at]) : text).join("")));
}

function rowsOf(table) {
  return new Promise((resolve, reject) => {
    waiting.set(table.id, resolve);
    document.head.append(element("script", { src: table.dataset.source, on: { error: () => reject(new Error("no rows")) } }));
  });
}

class Board {
  constructor(table, first, changed) {
    this.table = table;
    this.body = table.tBodies[0];
    this.prefix = first ? "" : `${table.id}.`;
    this.changed = changed;
    this.columns = [...table.tHead.rows[table.tHead.rows.length - 1].cells].map((cell, index) => ({
      cell, index, id: cell.dataset.col, numeric: cell.dataset.kind === "number", low: cell.dataset.better === "low",
      extra: cell.classList.contains("extra"), label: cell.textContent.trim(), shown: true,
    }));
    this.rows = [];
    this.take(this.body.rows);
    this.many = table.dataset.source !== undefined;
    this.total = this.many ? Number(table.dataset.rows) : this.rows.length;
    this.limit = this.many ? STEP : Infinity;
    this.matching = this.rows;
    this.sorted = null;
    this.query = "";
    this.chosen = new Map(Object.keys(FACETS).map((name) => [name, new Set()]));
    for (const column of this.columns) this.makeSortable(column);
    if (table.classList.contains("computed")) this.addBar();
    if (this.many) this.prepare();
    this.apply(readState());
  }

  take(elements) {
    for (const row of [...elements]) this.rows.push({
      row, order: this.rows.length, text: row.textContent.toLowerCase(),
      keys: this.columns.map((column) => this.key(row.cells[column.index], column)),
    });
  }

  key(cell, column) {
    if (!cell) return null;
    if (!column.numeric) return cell.textContent.trim();
    return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
  }

  // --- all rows of a board of many

  prepare() {
    this.pages = document.querySelector(`nav[data-pages-of="${CSS.escape(this.table.id)}"]`);
    this.pages.hidden = true;
    for (const [index, row] of [...this.table.tHead.rows].entries()) row.setAttribute("aria-rowindex", index + 1);
    for (const event of ["pointermove", "pointerdown", "wheel", "keydown", "focusin"])
      addEventListener(event, () => this.whole(), { once: true, passive: true });
    this.show();
  }

  whole() {
    return this.arrived ??= this.many ? this.fetched() : Promise.resolve();
  }

  async fetched() {
    try {
      const texts = await rowsOf(this.table);
      while (this.rows.length < texts.length) {
        const holder = document.createElement("template");
        holder.innerHTML = texts.slice(this.rows.length, this.rows.length + CHUNK).join("");
        this.take(holder.content.children);
        await new Promise((resume) => setTimeout(resume));
      }
    } catch {
      this.lost = true;
      this.pages.hidden = false;
    }
  }

  // --- sorting

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

  sort(column, direction) {
    this.sorted = { column, direction };
    if (this.many) this.limit = STEP;  // another order is read from its beginning
    this.refresh();
  }

  async refresh() {
    if (this.many && !this.lost) await this.whole();
    this.arrange();
    this.changed();
  }

  arrange() {
    for (const one of this.columns) one.cell.removeAttribute("aria-sort");
    let ordered = this.rows;
    if (this.sorted) {
      const { column, direction } = this.sorted;
      column.cell.setAttribute("aria-sort", direction === "down" ? "descending" : "ascending");
      const sign = direction === "down" ? -1 : 1, index = column.index;
      ordered = [...this.rows].sort((one, two) => {
        const a = one.keys[index], b = two.keys[index];
        if (a === null || b === null) return (a === null) - (b === null) || one.order - two.order;
        return sign * (column.numeric ? a - b : words.compare(a, b)) || one.order - two.order;
      });
    }
    const wanted = this.query.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const chosen = [...this.chosen].filter(([, values]) => values.size);
    this.matching = ordered.filter((one) => wanted.every((word) => one.text.includes(word)) &&
      chosen.every(([name, values]) => this.facetValues(one, name).some((value) => values.has(value))));
    this.show();
  }

  show() {
    const shown = this.matching.slice(0, this.limit), heads = this.table.tHead.rows.length, turn = this.turn = {};
    if (this.many) {
      this.table.setAttribute("aria-rowcount", this.matchCount() + heads);
      for (const [index, one] of shown.entries()) one.row.setAttribute("aria-rowindex", index + heads + 1);
    }
    this.body.replaceChildren(...shown.slice(0, CHUNK).map((one) => one.row));
    const rest = (from) => requestAnimationFrame(() => {
      if (turn !== this.turn) return;
      this.body.append(...shown.slice(from, from + CHUNK).map((one) => one.row));
      if (from + CHUNK < shown.length) rest(from + CHUNK);
    });
    if (shown.length > CHUNK) rest(CHUNK);
    this.say(shown.length);
  }

  matchCount() {  // before all rows are here, nothing is sorted out
    return this.matching === this.rows && this.rows.length < this.total ? this.total : this.matching.length;
  }

  say(shown) {
    const count = this.matchCount(), left = count - shown;
    if (this.count) this.count.textContent = this.lost ? `only ${this.rows.length} of ${this.total} rows could be read here`
      : count === this.total ? `${number.format(count)} rows` : `${number.format(count)} of ${number.format(this.total)} rows`;
    if (!this.more) return;
    const to = (limit) => async () => {
      const at = this.body.rows.length;
      this.limit = limit;
      await this.refresh();
      this.body.rows[at]?.querySelector("a")?.focus();
    };
    if (!count) this.more.replaceChildren(element("span", {}, "No row matches."), button("Clear search and filters", () => this.clear()));
    else this.more.replaceChildren(...left > 0 && !this.lost ? [
      element("span", {}, `${number.format(shown)} of ${number.format(count)} shown`),
      button(`Show ${Math.min(STEP, left)} more`, to(shown + STEP)), button("Show all", to(Infinity))] : []);
  }

  // --- search and facets

  addBar() {
    this.search = element("input", { type: "search", "aria-label": "Search rows", placeholder: "Search rows",
      on: { input: () => { this.query = this.search.value; this.refresh(); } } });
    this.count = element("output", { class: "count", "aria-live": "polite" });
    this.filter = this.menu("Filter");
    this.filter.addEventListener("toggle", async () => {
      if (!this.filter.open) return;
      await this.whole();
      this.fillFilter();
    });
    this.bar = element("div", { class: "bar-of-board" }, this.search, this.filter, this.columnMenu(), this.viewMenu(), this.count);
    this.more = element("div", { class: "more" });
    this.table.closest(".scroll").before(this.bar);
    this.table.closest(".scroll").after(this.more);
    document.addEventListener("click", (event) => { if (!this.bar.contains(event.target)) this.closeMenus(); });
  }

  closeMenus(but = null) {
    for (const menu of this.bar.querySelectorAll("details[open]")) if (menu !== but) menu.open = false;
  }

  clear() {
    this.search.value = this.query = "";
    for (const values of this.chosen.values()) values.clear();
    for (const one of this.boxes ?? []) one.box.checked = false;
    this.search.focus();
    this.refresh();
  }

  fillFilter() {
    if (this.boxes) return;
    this.boxes = [];
    const fields = Object.entries(FACETS).map(([name, title]) => [name, title, this.facetCounts(name)])
      .filter(([name, , values]) => values.size > 1 || this.chosen.get(name).size)
      .map(([name, title, values]) => element("fieldset", {}, element("legend", {}, title),
        ...[...values].sort((a, b) => words.compare(a[0], b[0])).map(([value, count]) => this.facetBox(name, value, count))));
    this.filter.querySelector(".panel").append(...fields.length ? fields : ["All rows are alike."]);
  }

  facetCounts(name) {
    const values = new Map();
    for (const one of this.rows) for (const value of this.facetValues(one, name)) values.set(value, (values.get(value) ?? 0) + 1);
    return values;
  }

  facetBox(name, value, count) {
    const made = this.checkbox(`${value} (${number.format(count)})`, {}, (on) => {
      this.chosen.get(name)[on ? "add" : "delete"](value);
      this.refresh();
    });
    this.boxes.push({ box: made.firstChild, name, value });
    made.firstChild.checked = this.chosen.get(name).has(value);
    return made;
  }

  facetValues(one, name) {
    return (one.row.dataset[name] ?? "").split(", ").map((value) => value || "unknown");
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
    made.querySelector("summary").addEventListener("click", () => this.closeMenus(made));
    return made;
  }

  // --- columns

  columnMenu() {
    this.sheet = new CSSStyleSheet();
    document.adoptedStyleSheets = [...document.adoptedStyleSheets, this.sheet];
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
    }
    this.sheet.replaceSync(this.columns.filter((one) => !one.shown).map((one) =>
      `#${CSS.escape(this.table.id)}>tbody>tr>:nth-child(${one.index + 1}){display:none}`).join(""));
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
    const file = (name, ending, text) => button(name, async () => {
      await this.whole();
      this.save(ending, text(this.view()));
    });
    return this.menu("Share", element("div", { class: "presets" }, copy, cite),
      element("div", { class: "presets" }, "This view as", file("CSV", "csv", csvOf), file("JSON", "json", jsonOf), file("LaTeX", "tex", latexOf)));
  }

  async copy(control, text) {
    const label = control.textContent;
    try { await navigator.clipboard.writeText(text); control.textContent = "Copied"; }
    catch { window.prompt("Copy this:", text); }
    setTimeout(() => { control.textContent = label; }, 1500);
  }

  citation() {
    const { release } = document.querySelector("footer").dataset, seen = new Date().toISOString().slice(0, 10);
    return `${document.title.replace(" · ", ", ")}, entries ${release}. ${location.href} (seen ${seen})`;
  }

  view() {  // every row that matches, shown or not
    const columns = this.columns.filter((one) => one.shown && one.id);
    return {
      board: this.table.id,
      head: columns.map((one) => one.full ?? one.label),
      numeric: columns.map((one) => one.numeric),
      rows: this.matching.map(({ row }) => columns.map((one) => {
        const cell = row.cells[one.index];
        if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
        const name = one.index === 0 ? cell.querySelector("a") : null;
        return (name ?? cell).textContent.trim().replace(/\s+/g, " ");
      })),
    };
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
    if (this.many && this.limit !== STEP) yield ["rows", this.limit === Infinity ? "all" : String(this.limit)];
    if (this.search && this.columns.slice(1).some((one) => one.shown === one.extra))
      yield ["cols", this.columns.slice(1).filter((one) => one.shown).map((one) => one.id).join(".") || "none"];
  }

  apply(state) {
    const get = (name) => state.get(this.prefix + name);
    const before = [...this.state()].filter(([name]) => name !== "cols").join();
    const column = this.columns.find((one) => one.id && one.id === get("sort"));
    this.sorted = column ? { column, direction: get("dir") === "down" ? "down" : "up" } : null;
    if (this.search) this.applyBar(state, get);
    const after = [...this.state()].filter(([name]) => name !== "cols").join();
    if (before === after) this.show();
    else if (this.many) this.whole().then(() => this.arrange());
    else this.arrange();
  }

  applyBar(state, get) {
    this.search.value = this.query = get("q") ?? "";
    for (const [name, values] of this.chosen) {
      values.clear();
      for (const value of state.getAll(this.prefix + name)) values.add(value);
    }
    for (const one of this.boxes ?? []) one.box.checked = this.chosen.get(one.name).has(one.value);
    if (this.many) this.limit = get("rows") === "all" ? Infinity : Math.max(STEP, Number.parseInt(get("rows") ?? "") || 0);
    const shown = get("cols")?.split(".");
    for (const one of this.columns.slice(1)) one.shown = shown ? shown.includes(one.id) : !one.extra;
    this.showColumns();
  }
}

const boards = [];

document.addEventListener("DOMContentLoaded", () => {
  const changed = () => writeState(boards);
  const video = readState().get("video");  // a link to a clip, wherever its page lies
  for (const link of document.querySelectorAll("#clips a[data-video]"))
    if (link.dataset.video === video) location.replace(link.getAttribute("href") + location.hash);
  for (const table of document.querySelectorAll("table[data-board]"))
    boards.push(new Board(table, boards.length === 0, changed));
  window.addEventListener("hashchange", () => {
    for (const board of boards) board.apply(readState());
    tellParent();
  });
});
