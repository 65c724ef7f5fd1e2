// The mask player of one clip. Masks are COCO run-length texts, column by column; scores come with the page.
// Frames are a picture beside the page, or files that the reader chooses; those are read here and sent nowhere.

const COLOURS = { actor: "#2f7fd6", target: "#e08a00" };
const VIEWS = { outlines: "Outlines", actor: "Errors of the actor", target: "Errors of the target" };
const NOTES = {
  outlines: "Actor: solid blue outline. Target: dashed orange outline.",
  actor: "Filled blue: right. Striped orange: too much. Dotted white: missed.",
  target: "Filled blue: right. Striped orange: too much. Dotted white: missed.",
};

function runsOf(text) {
  const runs = [];
  for (let at = 0; at < text.length;) {
    let value = 0, shift = 0, sign;
    do {
      sign = text.charCodeAt(at++) - 48;
      value |= (sign & 31) << shift;
      shift += 5;
    } while (sign & 32);
    if (sign & 16) value |= -1 << shift;
    if (runs.length > 2) value += runs[runs.length - 2];
    runs.push(value);
  }
  return runs;
}

function pixelsOf(text, height, width) {
  const pixels = new Uint8Array(height * width);
  if (!text) return pixels;
  let at = 0, on = 0;
  for (const run of runsOf(text)) {
    if (on) for (let one = at; one < at + run; one++) pixels[(one % height) * width + Math.floor(one / height)] = 1;
    at += run;
    on ^= 1;
  }
  return pixels;
}

let player = null;

// What a script of answers calls: masks and scores of one model in this clip, by expression.
function clipAnswers(id, answers) { player.arrive(id, answers); }

class Player {
  constructor(place) {
    this.place = place;
    this.clip = JSON.parse(document.getElementById("clip").textContent);
    this.scale = Math.max(1, Math.round(420 / this.clip.width));
    this.answers = new Map();  // model to its answers: null while they are on the way, undefined before
    this.pictures = new Map();  // frame to picture, of frames that the reader chose
    this.playing = 0;
    this.build();
    if (place.dataset.strip) this.openStrip(place.dataset.strip);
    else this.askForFrames();
    this.read();
    addEventListener("keydown", (event) => this.key(event));
    addEventListener("hashchange", () => this.read());
  }

  build() {
    const { expressions, models, frames } = this.clip;
    const change = (run) => ({ change: (event) => { run(event.target); this.write(); this.draw(); } });
    this.sentence = element("select", { "aria-label": "Sentence", on: change(() => {}) },
      ...expressions.map((one) => element("option", { value: one.id }, `${one.text} (${one.type})`)));
    this.view = element("select", { "aria-label": "View", on: change(() => {}) },
      ...Object.entries(VIEWS).map(([value, title]) => element("option", { value }, title)));
    this.boxes = new Map(models.map((model) => [model.id,
      element("input", { type: "checkbox", on: change(() => this.limit()) })]));
    this.range = element("input", { type: "range", min: 0, max: frames.length - 1, step: 1, "aria-label": "Frame",
      on: { input: () => { this.stop(); this.write(); this.draw(); } } });
    this.play = button("Play", () => this.playing ? this.stop() : this.start());
    this.where = element("output", { class: "count" });
    this.note = element("p", { class: "source" });
    this.panes = element("div", { class: "panes" });
    this.place.append(
      element("div", { class: "bar-of-board" }, this.sentence, this.view),
      element("fieldset", { class: "choice" }, element("legend", {}, "Models, up to three"),
        ...models.map((model) => element("label", {}, this.boxes.get(model.id), " ", model.name))),
      element("div", { class: "bar-of-board scrub" }, button("◂", () => this.step(-1)), this.play,
        button("▸", () => this.step(1)), this.range, this.where),
      this.panes, this.note);
    const [back, , on] = this.place.querySelectorAll(".scrub button");
    back.setAttribute("aria-label", "Frame before");
    on.setAttribute("aria-label", "Next frame");
  }

  openStrip(source) {
    this.strip = new Image();
    this.strip.addEventListener("load", () => this.draw());
    this.strip.src = source;
  }

  // --- frames of the reader's own

  askForFrames() {
    const chosen = (event) => this.take([...event.target.files]);
    this.told = element("output", { class: "count" }, "no frames yet: outlines on grey");
    const folder = element("input", { type: "file", webkitdirectory: true, multiple: true, on: { change: chosen } });
    const files = element("input", { type: "file", accept: "image/*", multiple: true, on: { change: chosen } });
    this.place.prepend(element("fieldset", { class: "choice own-frames" },
      element("legend", {}, "Frames on your disk (they stay there)"),
      element("label", {}, "The folder JPEGImages, or the one of this clip ", folder),
      element("label", {}, "or its files one by one ", files), this.told));
  }

  take(files) {
    const { video, frames } = this.clip;
    const ending = (path) => path.split("/").slice(-2);
    const stems = files.filter((one) => /\.(jpe?g|png|webp)$/i.test(one.name)).map((file) => {
      const [folder, name] = ending(`/${file.webkitRelativePath || file.name}`);
      return { file, folder, stem: name.replace(/\.[^.]*$/, "") };
    });
    const own = stems.filter((one) => one.folder === video);
    const usable = own.length ? own : stems.every((one) => one.folder === stems[0].folder) ? stems : [];
    this.doubt = usable.length && !own.length && usable[0].folder ? `; their folder is called ${usable[0].folder}, the clip ${video}` : "";
    const by = new Map(usable.map((one) => [one.stem, one.file]));
    this.own = frames.map((name) => by.get(name) ?? null);
    for (const picture of this.pictures.values()) picture.close();
    this.answers = new Map();  // model to its answers: null while they are on the way, undefined before
    this.pictures = new Map();
    this.wrong = "";
    this.tellFrames();
    this.draw();
  }

  tellFrames() {
    const found = this.own.filter(Boolean).length, { video, frames } = this.clip;
    const doubts = this.doubt + this.wrong;
    this.told.textContent = !found ? `none of the chosen files is a frame of ${video} (${frames[0]}.jpg to ${frames.at(-1)}.jpg)`
      : found < frames.length ? `${found} of ${frames.length} frames found${doubts}` : `all ${found} frames found${doubts}`;
  }

  picture(frame) {  // the picture of a frame, or null; one that is read anew draws again when it is there
    const file = this.own?.[frame];
    if (!file) return null;
    const here = this.pictures.get(frame);
    if (here || this.pictures.has(frame)) return here;
    this.pictures.set(frame, null);
    const { width, height } = this.clip, of = this.own;
    createImageBitmap(file).then((made) => {
      if (this.own !== of) return made.close();
      if (made.width !== width || made.height !== height)
        this.wrong = `; ${file.name} is ${made.width}x${made.height}, the masks are ${width}x${height}: another version of the data?`;
      this.pictures.set(frame, made);
      this.tellFrames();
      this.draw();
    }, () => {
      if (this.own !== of) return;
      this.wrong = `; ${file.name} is not a picture that can be read`;
      this.tellFrames();
    });
    return null;
  }

  paint(context, frame) {
    const { width, height } = this.clip, to = [0, 0, width * this.scale, height * this.scale];
    const own = this.picture(frame);
    if (this.strip?.complete && this.strip.naturalWidth) context.drawImage(this.strip, frame * width, 0, width, height, ...to);
    else if (own) context.drawImage(own, ...to);
    else {
      context.fillStyle = "#777";
      context.fillRect(...to);
    }
  }

  read() {
    const state = readState();
    const ids = this.clip.models.map((one) => one.id);
    const wanted = (state.get("models") ?? "").split(",").filter((id) => ids.includes(id)).slice(0, 3);
    const models = this.clip.models.filter((one) => !one.sanity);
    const first = (models.length ? models : this.clip.models).slice(0, 2).map((one) => one.id);
    const shown = wanted.length || state.has("models") ? wanted : first;
    for (const [id, box] of this.boxes) box.checked = shown.includes(id);
    const expressions = this.clip.expressions;
    this.sentence.value = expressions.some((one) => one.id === state.get("exp")) ? state.get("exp") : expressions[0].id;
    this.view.value = Object.hasOwn(VIEWS, state.get("view")) ? state.get("view") : "outlines";
    this.range.value = Number(state.get("frame")) || 0;
    this.limit();
    this.draw();
  }

  write() {
    const state = new URLSearchParams({ models: this.shown().join(","), video: this.clip.video,
      exp: this.sentence.value, frame: this.range.value, view: this.view.value });
    history.replaceState(null, "", `#${state}`);
    tellParent();
  }

  shown() { return [...this.boxes].filter(([, box]) => box.checked).map(([id]) => id); }

  limit() {
    const full = this.shown().length >= 3;
    for (const box of this.boxes.values()) box.disabled = full && !box.checked;
  }

  key(event) {
    const { target, key } = event, last = this.clip.frames.length - 1;
    if (event.ctrlKey || event.altKey || event.metaKey || target.tagName === "SELECT") return;
    if (key === " ") {
      if (target !== this.range && /^(INPUT|BUTTON|A|SUMMARY)$/.test(target.tagName)) return;  // it presses those
      this.play.click();
    } else if (target === this.range) return;  // it knows the others by itself
    else if (key === "ArrowLeft" || key === "ArrowRight") this.step(key === "ArrowLeft" ? -1 : 1);
    else if (key === "Home" || key === "End") this.step((key === "Home" ? 0 : last) - Number(this.range.value));
    else return;
    event.preventDefault();
  }

  step(by) {
    const { frames } = this.clip;
    this.range.value = (Number(this.range.value) + by + frames.length) % frames.length;
    this.write();
    this.draw();
  }

  start() {
    this.playing = setInterval(() => this.step(1), 200);
    this.play.textContent = "Pause";
  }

  stop() {
    clearInterval(this.playing);
    this.playing = 0;
    this.play.textContent = "Play";
  }

  draw() {
    const frame = Number(this.range.value);
    const one = this.clip.expressions.find((each) => each.id === this.sentence.value);
    this.where.textContent = `frame ${frame + 1} of ${this.clip.frames.length}`;
    this.note.textContent = `“${one.text}”, frame ${frame + 1} of ${this.clip.frames.length}. ${NOTES[this.view.value]}`;
    const names = new Map(this.clip.models.map((model) => [model.id, model.name]));
    this.panes.replaceChildren(this.pane("Truth", one, one.truth, null, frame),
      ...this.shown().map((id) => {
        const answers = this.answersOf(id), answer = answers?.[one.id];
        return answers ? this.pane(names.get(id), one, answer ?? null, answer, frame)
          : element("figure", {}, element("figcaption", {}, element("strong", {}, names.get(id)),
            answers === false ? ": its masks could not be read here" : ": reading its masks"));
      }));
  }

  answersOf(id) {
    if (this.answers.has(id)) return this.answers.get(id);
    this.answers.set(id, null);
    const { source } = this.clip.models.find((model) => model.id === id);
    document.head.append(element("script", { src: this.place.dataset.root + source, on: { error: () => this.arrive(id, false) } }));
    return null;
  }

  arrive(id, answers) {
    this.answers.set(id, answers);
    this.draw();
  }

  pane(name, one, tracks, answer, frame) {
    const { width, height } = this.clip, scale = this.scale;
    const canvas = element("canvas", { width: width * scale, height: height * scale, role: "img" });
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    this.paint(context, frame);
    const pixels = (track) => pixelsOf(track?.[frame], height, width);
    const words = [name];
    if (this.view.value === "outlines") {
      const there = ["actor", "target"].filter((role) => tracks?.[role]);
      const lines = there.map((role) => [role, this.outline(pixels(tracks[role]), role)]);
      for (const [, [halo]] of lines) this.stroke(context, halo, "#fff", 5);
      for (const [role, [, line]] of lines) this.stroke(context, line, COLOURS[role], 3);
      for (const role of ["actor", "target"]) if (!there.includes(role)) words.push(`no ${role}`);
    } else {
      const role = this.view.value;
      this.errors(context, pixels(one.truth[role]), pixels(tracks?.[role]));
    }
    const scores = answer?.scores ?? {};
    const said = Object.entries(scores).map(([role, [j, f]]) => `${role} J ${j[frame]}, F ${f[frame]}`);
    canvas.setAttribute("aria-label", [...words, ...said].join("; "));
    const caption = element("figcaption", {}, element("strong", {}, words.join(", ")), " ", said.join(" · "));
    if (answer && answer.status !== "ok") caption.append(` (${answer.status})`);
    const made = element("figure", {}, canvas, caption);
    for (const [role, [j, f]] of Object.entries(scores)) made.append(this.chart(role, j, f, frame));
    return made;
  }

  outline(pixels, role) {
    const { width, height } = this.clip, scale = this.scale, halo = new Path2D(), line = new Path2D();
    const on = (x, y) => x >= 0 && y >= 0 && x < width && y < height && pixels[y * width + x];
    const edge = (x1, y1, x2, y2) => {
      for (const path of role === "target" && Math.floor((x1 + y1) / 3) % 2 ? [halo] : [halo, line]) {
        path.moveTo(x1 * scale, y1 * scale);
        path.lineTo(x2 * scale, y2 * scale);
      }
    };
    for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
      if (!on(x, y)) continue;
      if (!on(x, y - 1)) edge(x, y, x + 1, y);
      if (!on(x, y + 1)) edge(x, y + 1, x + 1, y + 1);
      if (!on(x - 1, y)) edge(x, y, x, y + 1);
      if (!on(x + 1, y)) edge(x + 1, y, x + 1, y + 1);
    }
    return [halo, line];
  }

  stroke(context, path, colour, thick) {
    context.lineCap = "square";
    context.strokeStyle = colour;
    context.lineWidth = thick;
    context.stroke(path);
  }

  errors(context, truth, answer) {
    const { width, height } = this.clip, scale = this.scale;
    const striped = this.pattern((tile) => { tile.strokeStyle = "#e08a00"; tile.lineWidth = 3; tile.moveTo(0, 8); tile.lineTo(8, 0); tile.stroke(); });
    const dotted = this.pattern((tile) => { tile.fillStyle = "#222"; tile.fillRect(0, 0, 8, 8); tile.fillStyle = "#fff"; tile.fillRect(2, 2, 4, 4); });
    for (let at = 0; at < truth.length; at++) {
      if (!truth[at] && !answer[at]) continue;
      context.fillStyle = truth[at] && answer[at] ? "rgba(47,127,214,.8)" : context.createPattern(answer[at] ? striped : dotted, "repeat");
      context.fillRect((at % width) * scale, Math.floor(at / width) * scale, scale, scale);
    }
    const [halo, line] = this.outline(truth, "actor");
    this.stroke(context, halo, "#fff", 5);
    this.stroke(context, line, COLOURS.actor, 2);
  }

  pattern(paint) {
    const tile = element("canvas", { width: 8, height: 8 });
    paint(tile.getContext("2d"));
    return tile;
  }

  chart(role, j, f, frame) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const shape = (tag, facts) => {
      const one = document.createElementNS(made.namespaceURI, tag);
      for (const [name, value] of Object.entries(facts)) one.setAttribute(name, value);
      made.append(one);
    };
    const step = 240 / j.length;
    for (const [name, value] of Object.entries({ viewBox: "0 0 240 34", preserveAspectRatio: "none", class: "per-frame", role: "img",
      "aria-label": `J and F of the ${role} in every frame` })) made.setAttribute(name, value);
    for (const [index, value] of j.entries()) {
      if (index === frame) shape("rect", { class: "now", x: index * step, y: 0, width: step, height: 34 });
      shape("rect", { class: "bar-of-j", x: index * step + 1, y: 32 - value * 0.3, width: Math.max(step / 2 - 1, 0.5), height: value * 0.3 });
      shape("rect", { class: "bar-of-f", x: index * step + step / 2, y: 32 - f[index] * 0.3, width: Math.max(step / 2 - 1, 0.5), height: f[index] * 0.3 });
    }
    return element("div", { class: "per-frame-row" }, element("span", {}, `${role}: J filled, F hollow`), made);
  }
}

document.addEventListener("DOMContentLoaded", () => {
  const place = document.getElementById("player");
  if (place) player = new Player(place);
});
