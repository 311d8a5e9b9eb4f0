// Makes the charts of a page live (smoothing, logarithms, values, zoom) and its pictures' layers switch.
// Without it a page still shows every chart and every object.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 260, LEFT = 58, RIGHT = 20, TOP = 8, BOTTOM = 34;

// element("svg rect", {x: 1}, parent) or element("button", {}, parent, "text")
function element(name, attributes = {}, parent = null, text = "") {
  const made = name.startsWith("svg ") ? document.createElementNS(SVG, name.slice(4)) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

const short = (value) => String(Number(value.toPrecision(4)));

// Exponential moving average, freed of its start at 0.
function smoothed(values, weight) {
  let mean = 0, total = 0;
  return values.map((value) => {
    mean = weight * mean + (1 - weight) * value;
    total = weight * total + (1 - weight);
    return mean / total;
  });
}

// Round values in [low, high]; logarithmic: the logarithms of round values.
function ticks(low, high, count, logarithmic) {
  const found = [];
  if (logarithmic && high - low <= 1) return ticks(10 ** low, 10 ** high, count, false).map(Math.log10);
  if (logarithmic) {
    for (let power = Math.floor(low); power <= high; ++power)
      for (const factor of high - low < 3 ? [1, 2, 5] : [1]) found.push(power + Math.log10(factor));
    return found.filter((value) => value >= low && value <= high);
  }
  const power = 10 ** Math.floor(Math.log10((high - low) / count));
  const step = power * [1, 2, 5, 10].find((factor) => (high - low) / (power * factor) <= count);
  for (let i = Math.ceil(low / step); i * step <= high; ++i) found.push(i * step);
  return found;
}

// The place of the x that is nearest.
function nearest(xs, x) {
  let best = 0;
  xs.forEach((value, i) => { if (Math.abs(value - x) < Math.abs(xs[best] - x)) best = i; });
  return best;
}

class LiveChart {
  constructor(figure, number) {
    this.figure = figure;
    this.clip = `clip-${number}`;
    this.data = JSON.parse(figure.querySelector("script").textContent);
    this.hidden = new Set();
    this.logarithmic = this.data.log;
    this.weight = 0;
    figure.querySelector("svg").remove();
    this.tools();
    this.svg = element("svg svg", {class: "drawn", tabindex: 0, role: "img", "aria-label": this.data.summary,
                                   height: HEIGHT}, figure);
    this.tip = element("div", {class: "tip", role: "status", hidden: ""}, figure);
    this.legend();
    this.listen();
    new ResizeObserver(() => this.draw()).observe(figure);
  }

  tools() {
    const row = element("div", {class: "tools"}, this.figure);
    element("h3", {}, row, this.data.title);
    if (!this.data.y) {
      const label = element("label", {}, row);
      const box = element("input", {type: "checkbox"}, label);
      label.append(" logarithmic");
      box.checked = this.logarithmic;
      box.addEventListener("change", () => { this.logarithmic = box.checked; this.draw(); });
    }
    this.whole = element("button", {type: "button", hidden: ""}, row, "whole range");
    this.whole.addEventListener("click", () => this.zoom(null));
  }

  legend() {
    const row = element("div", {class: "legend"}, this.figure);
    this.data.series.forEach((series, i) => {
      series.colour = `--colour: var(--s${i % 10})`;
      const button = element("button", {type: "button", "aria-pressed": true, style: series.colour}, row, series.name);
      button.addEventListener("click", () => {
        const shown = this.hidden.delete(i) || !this.hidden.add(i);
        button.setAttribute("aria-pressed", shown);
        this.draw();
      });
    });
  }

  listen() {
    const place = (event) => this.valueAt(event.clientX - this.svg.getBoundingClientRect().left);
    let from = null;
    this.svg.addEventListener("pointerdown", (event) => { from = event.clientX; });
    this.svg.addEventListener("pointermove", (event) => {
      this.point(place(event));
      if (from !== null) this.select(from, event.clientX);
    });
    this.svg.addEventListener("pointerup", (event) => {
      const far = from !== null && Math.abs(event.clientX - from) > 5;
      const other = from - this.svg.getBoundingClientRect().left;
      if (far) this.zoom([this.valueAt(other), place(event)].sort((a, b) => a - b));
      from = null;
    });
    this.svg.addEventListener("pointerleave", () => { from = null; this.point(null); });
    this.svg.addEventListener("dblclick", () => this.zoom(null));
    this.svg.addEventListener("blur", () => this.point(null));
    this.svg.addEventListener("keydown", (event) => this.key(event));
  }

  // Arrows move along the curves, + and - zoom there, Escape shows all.
  key(event) {
    if (!this.drawn) return;
    const [low, high] = this.drawn.x, width = high - low, at = this.at ?? low;
    const clamp = (x) => Math.min(high, Math.max(low, x));
    if (event.key === "ArrowRight") this.point(clamp(at + width / 50));
    else if (event.key === "ArrowLeft") this.point(clamp(at - width / 50));
    else if (event.key === "+") this.zoom([clamp(at - width / 4), clamp(at + width / 4)]);
    else if (event.key === "-") this.zoom([at - width, at + width]);
    else if (event.key === "Escape") this.zoom(null);
    else return;
    event.preventDefault();
  }

  zoom(range) {
    this.range = range;
    this.whole.hidden = !range;
    this.draw();
  }

  valueAt(pixel) {
    const {x, width} = this.drawn ?? {x: [0, 1], width: 1};
    return x[0] + (pixel - LEFT) / (width - LEFT - RIGHT) * (x[1] - x[0]);
  }

  // What is drawn of a series: its points in range, and one more on both sides.
  curve(series) {
    const values = series.noisy ? smoothed(series.y, this.weight) : series.y;
    const [low, high] = this.range ?? [-Infinity, Infinity];
    const inside = series.x.map((x, i) => x >= low && x <= high && (!this.logarithmic || series.y[i] > 0));
    const kept = inside.map((is, i) => is || inside[i - 1] || inside[i + 1]).map((is, i) => is ? i : -1)
      .filter((i) => i >= 0 && (!this.logarithmic || series.y[i] > 0));
    const scale = (value) => this.logarithmic ? Math.log10(value) : value;
    return {series, x: kept.map((i) => series.x[i]), y: kept.map((i) => scale(values[i])),
            raw: kept.map((i) => scale(series.y[i]))};
  }

  draw() {
    const width = this.figure.clientWidth, svg = this.svg;
    if (width === 0) return;
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    const curves = this.data.series.filter((_, i) => !this.hidden.has(i)).map((series) => this.curve(series))
      .filter((curve) => curve.x.length > 0);
    if (curves.length === 0) { this.drawn = null; return; }
    const bounds = (lists) => {
      let low = Infinity, high = -Infinity;
      for (const list of lists) for (const value of list) { low = Math.min(low, value); high = Math.max(high, value); }
      return low < high ? [low, high] : [low - 0.5, high + 0.5];
    };
    const x = this.range ?? bounds(curves.map((curve) => curve.x));
    const y = this.data.y ?? bounds(curves.map((curve) => curve.raw));
    const px = (value) => LEFT + (value - x[0]) / (x[1] - x[0]) * (width - LEFT - RIGHT);
    const py = (value) => HEIGHT - BOTTOM - (value - y[0]) / (y[1] - y[0]) * (HEIGHT - TOP - BOTTOM);
    this.drawn = {x, y, width, px, py, curves};

    for (const value of ticks(...y, 6, this.logarithmic)) {
      element("svg line", {class: "grid", x1: LEFT, x2: width - RIGHT, y1: py(value), y2: py(value)}, svg);
      element("svg text", {x: LEFT - 6, y: py(value) + 4, "text-anchor": "end"}, svg,
              short(this.logarithmic ? 10 ** value : value));
    }
    for (const value of ticks(...x, width / 90, false))
      element("svg text", {x: px(value), y: HEIGHT - BOTTOM + 15, "text-anchor": "middle"}, svg,
              String(Number(value.toPrecision(8))));
    element("svg text", {x: (LEFT + width - RIGHT) / 2, y: HEIGHT - 4, "text-anchor": "middle"}, svg, this.data.x);
    element("svg rect", {x: LEFT - 4, y: 0, width: width - LEFT - RIGHT + 8, height: HEIGHT},
            element("svg clipPath", {id: this.clip}, svg));
    const inside = element("svg g", {"clip-path": `url(#${this.clip})`}, svg);
    for (const curve of curves) {
      const line = (values) =>
        curve.x.map((value, i) => `${px(value).toFixed(1)},${py(values[i]).toFixed(1)}`).join(" ");
      const style = curve.series.colour;
      if (this.weight > 0 && curve.series.noisy)
        element("svg polyline", {class: "raw", style, points: line(curve.raw)}, inside);
      element("svg polyline", {class: "curve", style, points: line(curve.y)}, inside);
      if (curve.x.length < 40)
        curve.x.forEach((value, i) =>
          element("svg circle", {class: "point", style, r: 2.5, cx: px(value), cy: py(curve.y[i])}, inside));
    }
    this.mark = element("svg g", {}, svg);
    this.point(this.at ?? null);
  }

  // The values beside x.
  point(x) {
    this.at = x;
    this.tip.hidden = x === null || !this.drawn;
    if (!this.drawn || !this.mark) return;
    this.mark.replaceChildren();
    if (x === null) return;
    const {px, py, width, curves} = this.drawn;
    const at = curves[0].x[nearest(curves[0].x, x)];
    this.tip.replaceChildren(element("div", {}, null, `${this.data.x} ${Math.round(at * 1000) / 1000}`));
    element("svg line", {class: "pointer", x1: px(at), x2: px(at), y1: TOP, y2: HEIGHT - BOTTOM}, this.mark);
    for (const curve of curves) {
      const i = nearest(curve.x, at), value = this.logarithmic ? 10 ** curve.y[i] : curve.y[i];
      const style = curve.series.colour;
      element("svg circle", {class: "point", style, r: 3.5, cx: px(curve.x[i]), cy: py(curve.y[i])}, this.mark);
      element("span", {style}, element("div", {}, this.tip), `${curve.series.name} ${short(value)}`);
    }
    const left = px(at) < width / 2;
    this.tip.style.left = left ? `${px(at) + 12}px` : "auto";
    this.tip.style.right = left ? "auto" : `${width - px(at) + 12}px`;
  }

  select(from, to) {
    const left = this.svg.getBoundingClientRect().left;
    this.mark.querySelector(".zoom")?.remove();
    element("svg rect", {class: "zoom", x: Math.min(from, to) - left, y: TOP, width: Math.abs(to - from),
                         height: HEIGHT - TOP - BOTTOM}, this.mark);
  }
}

// <input id="smoothing">: of all curves that are noisy.
function listenToSmoothing(charts) {
  const input = document.getElementById("smoothing");
  if (!input) return;
  const apply = () => {
    input.nextElementSibling.textContent = input.value;
    for (const chart of charts) { chart.weight = Number(input.value); chart.draw(); }
  };
  input.addEventListener("input", apply);
  apply();
}

// <form id="layers">: what of the objects is shown.
function listenToLayers() {
  const form = document.getElementById("layers");
  if (!form) return;
  const apply = () => {
    for (const box of form.querySelectorAll("input[type=checkbox]"))
      if (box.name === "over") document.body.classList.toggle("with-over", box.checked);
      else document.body.classList.toggle(`no-${box.name}`, !box.checked);
    document.body.classList.toggle("by-object", form.elements.colour.value === "object");
    const score = form.elements.score;
    if (!score) return;
    score.nextElementSibling.textContent = Number(score.value).toFixed(2);
    for (const object of document.querySelectorAll("[data-score]"))
      object.classList.toggle("below", Number(object.dataset.score) < Number(score.value));
  };
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  apply();
}

listenToSmoothing([...document.querySelectorAll(".chart")].map((figure, i) => new LiveChart(figure, i)));
listenToLayers();
document.documentElement.dataset.script = "ran";
