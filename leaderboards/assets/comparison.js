// Two to four models side by side: #models=a,b

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

document.addEventListener("DOMContentLoaded", () => {
  const comparison = new Comparison(document.getElementById("compare-choice"));
  window.addEventListener("hashchange", () => comparison.read());
});
