// Shuffle, mask, unshuffle: patches that move to where the permutation sends them. A click follows one.

const MASK_STATES = {
  forward: ["In the image", "Sorted by noise", "First K kept", "Back in order"],
  restore: ["Tokens of the encoder", "Mask tokens, back in order"],
  backward: ["Gradients of the tokens", "Back at their patches"],
};

/** The animated figure; `mode` is a key of MASK_STATES; tokens are coloured by the norm of their `gradients`. */
function maskFigure(mode, gradients) {
  const width = 460;
  const pitch = width / (COLUMNS + 1);
  const lines = (count) => Math.ceil(count / (COLUMNS + 1));
  const rows = Math.max(ROWS, lines(T.len_keep + 1) + lines(PATCHES - T.len_keep));
  const height = pitch * rows;
  const side = pitch - Math.max(2, pitch * 0.08);
  const places = { forward: ["image", "sorted", "kept", "image"], restore: ["kept", "image"], backward: ["kept", "image"] }[mode];
  const norms = gradients ? tensorNorms(gradients) : null;
  const most = norms ? Math.max(...norms) : 0;
  let at = 0;
  let shown = 0; // runs after `at`

  function slot(l, place) {
    const where = RESTORE[state.image][l];
    if (place === "image") return [1 + (l % COLUMNS), Math.floor(l / COLUMNS)];
    if (place === "sorted") return [1 + (where % COLUMNS), Math.floor(where / COLUMNS)];
    // Kept tokens stand behind the class token; what was removed waits a row below them.
    const columns = COLUMNS + 1;
    const i = where < T.len_keep ? where + 1 : where - T.len_keep + columns * Math.ceil((T.len_keep + 1) / columns);
    return [i % columns, Math.floor(i / columns)];
  }

  function blend(l) {
    const from = Math.floor(shown);
    const to = Math.min(from + 1, places.length - 1);
    const t = shown - from;
    const ease = t * t * (3 - 2 * t);
    const [a, b] = [slot(l, places[from]), slot(l, places[to])];
    return [0, 1].map((axis) => (a[axis] + (b[axis] - a[axis]) * ease) * pitch + (pitch - side) / 2);
  }

  function paint(context) {
    const hidden = mode === "forward" ? Math.min(Math.max(shown - 1, 0), 1) : 1;
    const order = [...Array(PATCHES).keys()].sort((a, b) => Number(a === state.patch) - Number(b === state.patch));
    const tokens = mode === "forward" ? Math.min(Math.max(shown - 1, 0), 1) : 1;
    context.globalAlpha = tokens;
    drawClass(context, (pitch - side) / 2, (pitch - side) / 2, side, norms);
    context.globalAlpha = 1;
    for (const l of order) {
      const [x, y] = blend(l);
      if (kept(l)) {
        if (norms) fillNorm(context, norms[1 + RESTORE[state.image][l]] / most, x, y, side);
        else drawPatch(context, photos[state.image].original, l, x, y, side);
        frame(context, x, y, side, "--visible");
      } else {
        if (hidden < 1) drawPatch(context, photos[state.image].original, l, x, y, side);
        context.globalAlpha = hidden * (places[Math.round(shown)] === "kept" ? 0.35 : 1);
        drawRemoved(context, x, y, side);
        if (mode !== "forward" || shown > 2) letter(context, mode === "backward" ? "0" : "τ", x, y, side);
        context.globalAlpha = 1;
        if (mode === "forward" && shown > 0 && shown <= 1) frame(context, x, y, side, "--removed-line");
      }
      if (l === state.patch) {
        context.lineWidth = 3;
        context.strokeStyle = css("--chosen");
        context.strokeRect(x - 1, y - 1, side + 2, side + 2);
      }
    }
  }

  const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  let frameRequest = 0;
  function go(next) {
    at = next;
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", i === at));
    cancelAnimationFrame(frameRequest);
    const [start, from] = [performance.now(), shown];
    const length = 650 * Math.max(Math.abs(at - from), 0.4);
    const tick = (now) => {
      const t = still ? 1 : Math.min((now - start) / length, 1);
      shown = from + (at - from) * t;
      board.repaint();
      if (t < 1) frameRequest = requestAnimationFrame(tick);
    };
    tick(start);
  }

  const buttons = MASK_STATES[mode].map((name, i) =>
    h("button", { type: "button", "aria-pressed": i === 0, click: () => go(i) }, h("b", {}, String(i + 1)), name));
  const board = canvas(width, height, paint, { class: "pick", role: "img", "aria-label": "Patches and where they go" });
  board.addEventListener("click", (event) => {
    const [x, y] = pointer(event, board, width, height);
    for (let l = 0; l < PATCHES; l++) {
      const [left, top] = blend(l);
      if (x >= left && x <= left + side && y >= top && y <= top + side) choose(l);
    }
  });
  const story = h("div", { class: "story" });
  const slider = h("input", { type: "range", min: 0, max: PATCHES - 1, value: state.patch, "aria-label": "Patch" });
  slider.addEventListener("input", () => choose(Number(slider.value)));
  function choose(l) {
    state.patch = l;
    slider.value = l;
    board.repaint();
    story.replaceChildren(...patchStory(l));
  }
  choose(state.patch);
  return h("div", { class: "split" },
    h("div", {}, h("div", { class: "states", role: "group", "aria-label": "Stages of masking" }, buttons), board,
      key([["--visible", "kept"], ["removed", "removed"], ["--class", "class token"], ["--chosen", "chosen"]])),
    h("div", {}, h("label", { class: "slider" }, "Patch", slider), story));
}

/** What happens to one patch, in words and numbers. */
function patchStory(l) {
  const place = RESTORE[state.image][l];
  const stays = place < T.len_keep;
  const line = (name, value, more) => h("div", { class: "fact" }, h("span", {}, name), h("b", {}, value), h("small", {}, more));
  return [
    h("p", { class: stays ? "badge kept" : "badge removed" }, stays ? "kept" : "removed"),
    line("patch", String(l), `row ${Math.floor(l / COLUMNS)}, column ${l % COLUMNS}`),
    line("noise", String(T.noise[state.image][l]), `the ${place === 0 ? "" : ordinal(place + 1) + " "}smallest of ${PATCHES}`),
    line(`ids_restore[${l}]`, String(place), `${stays ? "below" : "not below"} K = ${T.len_keep}`),
    stays
      ? line("in the encoder", `token ${place + 1}`, "behind the class token, at 0")
      : line("in the encoder", "absent", "its gradient is 0"),
    stays
      ? line("in the decoder", `token ${l + 1}`, "its own latent, put back in its place")
      : line("in the decoder", `token ${l + 1}`, "the mask token τ: the pixels here are predicted and scored"),
  ];
}

function ordinal(n) {
  const [tens, ones] = [Math.floor(n / 10) % 10, n % 10];
  return n + (tens === 1 ? "th" : ["th", "st", "nd", "rd"][ones] || "th");
}

function drawClass(context, x, y, side, norms) {
  if (norms) fillNorm(context, norms[0] / Math.max(...norms), x, y, side);
  else {
    context.fillStyle = css("--class-soft");
    context.fillRect(x, y, side, side);
    context.fillStyle = css("--class");
    context.font = `600 ${side * 0.3}px ${css("--sans")}`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText("CLS", x + side / 2, y + side / 2);
  }
  frame(context, x, y, side, "--class");
}

function fillNorm(context, share, x, y, side) {
  context.fillStyle = rgb(colour("loss", share));
  context.fillRect(x, y, side, side);
}

function frame(context, x, y, side, name) {
  context.lineWidth = Math.max(1.5, side * 0.05);
  context.strokeStyle = css(name);
  context.strokeRect(x + context.lineWidth / 2, y + context.lineWidth / 2, side - context.lineWidth, side - context.lineWidth);
}

function letter(context, text, x, y, side) {
  if (side < 14) return;
  context.fillStyle = css("--quiet");
  context.font = `italic ${side * 0.42}px ${css("--serif")}`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(text, x + side / 2, y + side / 2);
}

/** What the colours of frames mean. */
function key(entries) {
  return h("div", { class: "key" }, entries.map(([name, meaning]) => {
    const swatch = h("i", { class: name === "removed" ? "hatched" : "" });
    if (name !== "removed") swatch.style.borderColor = `var(${name})`;
    return h("span", {}, swatch, meaning);
  }));
}
