// Data, elements, colours and canvases: what every figure is drawn with.

const T = JSON.parse(document.getElementById("trace-data").textContent);
const [ROWS, COLUMNS] = T.grid;
const PATCHES = ROWS * COLUMNS;
const IMAGES = T.sources.length;
const state = { step: 0, image: 0, patch: T.ids_shuffle[0][0], head: 0, token: 0 };

/** An element with attributes (functions are listeners) and children. */
function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (name.startsWith("aria-")) element.setAttribute(name, String(value));
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

// ── numbers ───────────────────────────────────────────────────────────────────────────────────

/** Four significant digits, for reading. */
function short(x) {
  if (x === null || x === undefined) return "–";
  if (x === 0) return "0";
  const size = Math.abs(x);
  const text = size >= 1e5 || size < 1e-3 ? x.toExponential(2) : x.toPrecision(4);
  return text.replace("-", "−").replace(/e\+?(−|-)?(\d+)/, (_, sign, digits) => "\u202f×\u202f10" + superscript((sign ? "−" : "") + digits));
}

function superscript(digits) {
  return [...digits].map((digit) => (digit === "−" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit])).join("");
}

/** The shortest decimal that comes back as this f32. */
function single(x) {
  for (let digits = 1; digits < 9; digits++) {
    const text = Number(x.toPrecision(digits));
    if (Math.fround(text) === x) return String(text);
  }
  return String(Number(x.toPrecision(9)));
}

/** A number for reading, with all of its digits in the tooltip. */
function number(x) {
  return h("data", { value: x, title: x === null ? "" : String(x) }, short(x));
}

function bytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

/** Decodes a picture once: `at(i, j)` is a cell's value, `exact` whether it is the tensor's own bits. */
function cells(picture) {
  if (picture.at) return picture;
  const raw = bytes(picture.data);
  picture.exact = picture.coding === "f32";
  if (picture.exact) {
    const view = new DataView(raw.buffer);
    picture.at = (i, j) => view.getFloat32(4 * (i * picture.columns + j), true);
  } else if (picture.coding === "signed") {
    picture.at = (i, j) => ((raw[i * picture.columns + j] - 128) / 127) * picture.scale;
  } else {
    picture.at = (i, j) => (raw[i * picture.columns + j] / 255) * picture.scale;
  }
  picture.row = (i) => Math.floor((i * picture.of[0]) / picture.rows);
  picture.column = (j) => Math.floor((j * picture.of[1]) / picture.columns);
  return picture;
}

// ── colours ───────────────────────────────────────────────────────────────────────────────────

function css(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

let ramps = {};
/** Colour ramps of the current theme: lists of colours, from the least to the largest value. */
function readRamps() {
  for (const name of ["signed", "forward", "loss"]) {
    ramps[name] = css("--ramp-" + name).split(" ").map((hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)));
  }
}

/** A colour of a ramp at `t` between 0 and 1. */
function colour(ramp, t) {
  const stops = ramps[ramp];
  const at = Math.min(Math.max(t, 0), 1) * (stops.length - 1);
  const i = Math.min(Math.floor(at), stops.length - 2);
  return stops[i].map((low, c) => Math.round(low + (stops[i + 1][c] - low) * (at - i)));
}

function rgb([red, green, blue], alpha = 1) {
  return `rgb(${red} ${green} ${blue} / ${alpha})`;
}

/** Ink that reads on a colour. */
function inkOn([red, green, blue]) {
  return 0.299 * red + 0.587 * green + 0.114 * blue > 140 ? "#14171c" : "#ffffff";
}

// ── canvases ──────────────────────────────────────────────────────────────────────────────────

/** A canvas of `width × height` CSS pixels, sharp on every screen; `paint(context)` draws it. */
function canvas(width, height, paint, attributes = {}) {
  const ratio = Math.min(window.devicePixelRatio || 1, 2);
  const element = h("canvas", { width: Math.round(width * ratio), height: Math.round(height * ratio), ...attributes });
  element.style.aspectRatio = `${width} / ${height}`;
  element.style.width = `${width}px`;
  const context = element.getContext("2d");
  context.scale(ratio, ratio);
  element.repaint = () => {
    context.clearRect(0, 0, width, height);
    paint(context);
  };
  element.repaint();
  return element;
}

/** Where a pointer is on a canvas, in the pixels it was made with. */
function pointer(event, element, width, height) {
  const box = element.getBoundingClientRect();
  return [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height];
}

/** A picture as a bitmap of one pixel per cell. */
function bitmap(picture, ramp) {
  const { rows, columns, scale, signed, at } = cells(picture);
  const image = new ImageData(columns, rows);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      const share = scale > 0 ? at(i, j) / scale : 0;
      image.data.set([...colour(ramp, signed ? (share + 1) / 2 : share), 255], 4 * (i * columns + j));
    }
  }
  const small = h("canvas", { width: columns, height: rows });
  small.getContext("2d").putImageData(image, 0, 0);
  return small;
}

/** A picture drawn as a heat map whose cells tell their values. */
function heat(picture, width, height, { ramp, name, label, onpick } = {}) {
  const drawn = bitmap(picture, ramp || (picture.signed ? "signed" : "forward"));
  const element = canvas(width, height, (context) => {
    context.imageSmoothingEnabled = false;
    context.drawImage(drawn, 0, 0, width, height);
  }, { class: "heat" + (onpick ? " pick" : ""), role: "img", "aria-label": label || name || "heat map" });
  const cell = (event) => {
    const [x, y] = pointer(event, element, width, height);
    return [Math.floor((y / height) * picture.rows), Math.floor((x / width) * picture.columns)]
      .map((i, axis) => Math.min(Math.max(i, 0), (axis ? picture.columns : picture.rows) - 1));
  };
  element.addEventListener("pointermove", (event) => {
    const [i, j] = cell(event);
    const value = picture.at(i, j);
    const shown = picture.exact ? `= ${single(value)}` : `≈ ${short(value)}`;
    tip(event, `${name || ""}[${picture.row(i)}, ${picture.column(j)}] ${shown}`);
  });
  element.addEventListener("pointerleave", hideTip);
  if (onpick) element.addEventListener("click", (event) => onpick(...cell(event)));
  return element;
}

/** The colours' legend. */
function legend(scale, signed, ramp) {
  const name = ramp || (signed ? "signed" : "forward");
  const stops = [0, 0.25, 0.5, 0.75, 1].map((t) => rgb(colour(name, t))).join(", ");
  const bar = h("span", { class: "bar" });
  bar.style.background = `linear-gradient(90deg, ${stops})`;
  return h("span", { class: "legend" }, signed ? `−${short(scale)}` : "0", bar, short(scale));
}

const tipBox = document.getElementById("tip");
function tip(event, text) {
  tipBox.textContent = text;
  tipBox.hidden = false;
  const { width } = tipBox.getBoundingClientRect();
  tipBox.style.left = `${Math.max(8, Math.min(event.clientX + 14, window.innerWidth - width - 8))}px`;
  tipBox.style.top = `${event.clientY + 18}px`;
}
function hideTip() {
  tipBox.hidden = true;
}

// ── patches ───────────────────────────────────────────────────────────────────────────────────

/** Where each patch of an image went; below `len_keep` it was kept. */
const RESTORE = T.ids_shuffle.map((shuffle) => {
  const restore = [];
  shuffle.forEach((patch, place) => (restore[patch] = place));
  return restore;
});

function kept(patch, image = state.image) {
  return RESTORE[image][patch] < T.len_keep;
}

/** The patch behind a token of a stack, or null for the class token. */
function patchOf(token, decoder, image = state.image) {
  if (token === 0) return null;
  return decoder ? token - 1 : T.ids_shuffle[image][token - 1];
}

/** The pictures of the images. The document's load event waits for them. */
const photos = T.pictures.map((set) => Object.fromEntries(Object.entries(set).map(([name, address]) => {
  const picture = new Image();
  picture.src = address;
  return [name, picture];
})));

/** Draws patch `l` of a picture into a square. */
function drawPatch(context, picture, l, x, y, side) {
  const p = T.model.patch_size;
  context.imageSmoothingEnabled = p >= 16;
  context.drawImage(picture, (l % COLUMNS) * p, Math.floor(l / COLUMNS) * p, p, p, x, y, side, side);
}

/** The place of a removed patch: hatched, so that it does not need a colour. */
function drawRemoved(context, x, y, side) {
  context.fillStyle = css("--removed");
  context.fillRect(x, y, side, side);
  context.save();
  context.beginPath();
  context.rect(x, y, side, side);
  context.clip();
  context.strokeStyle = css("--removed-line");
  context.lineWidth = 1;
  context.beginPath();
  for (let d = -side; d < side; d += Math.max(5, side / 5)) {
    context.moveTo(x + d, y + side);
    context.lineTo(x + d + side, y);
  }
  context.stroke();
  context.restore();
}

/** The image cut into patches; `paint(context, l, x, y, side)` draws each, a click chooses one. */
function patchGrid(width, paint, { onpick, gap = 2, label = "patches", hover } = {}) {
  const pitch = width / COLUMNS;
  const side = Math.max(pitch - gap, 1);
  const height = pitch * ROWS;
  const element = canvas(width, height, (context) => {
    for (let l = 0; l < PATCHES; l++) {
      paint(context, l, (l % COLUMNS) * pitch + gap / 2, Math.floor(l / COLUMNS) * pitch + gap / 2, side);
    }
    if (onpick) outline(context, state.patch, pitch, gap);
  }, { class: onpick ? "pick" : "", role: "img", "aria-label": label });
  const patch = (event) => {
    const [x, y] = pointer(event, element, width, height);
    const column = Math.min(Math.max(Math.floor(x / pitch), 0), COLUMNS - 1);
    return Math.min(Math.max(Math.floor(y / pitch), 0), ROWS - 1) * COLUMNS + column;
  };
  if (onpick) element.addEventListener("click", (event) => onpick(patch(event)));
  if (hover) {
    element.addEventListener("pointermove", (event) => tip(event, hover(patch(event))));
    element.addEventListener("pointerleave", hideTip);
  }
  return element;
}

function outline(context, l, pitch, gap) {
  const [x, y] = [(l % COLUMNS) * pitch, Math.floor(l / COLUMNS) * pitch];
  context.lineWidth = 3;
  context.strokeStyle = css("--chosen");
  context.strokeRect(x + gap / 2, y + gap / 2, pitch - gap, pitch - gap);
}
