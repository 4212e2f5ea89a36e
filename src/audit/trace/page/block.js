// A transformer block: its wiring with every intermediate, attention maps on the image, token norms.

const BRANCHES = [
  { name: "attention", enters: "x", nodes: [
    [".norm1", "LN₁", "normalised"], [".attn.qkv", "Q K V", "one product"], [".attn.probabilities", "softmax", "attention P"],
    [".attn.context", "P V", "heads merged"], [".attn.out", "proj", "branch's output"], [".mid", "+", "mid = x + …"]] },
  { name: "mlp", enters: "mid", nodes: [
    [".norm2", "LN₂", "normalised"], [".mlp.fc1", "fc₁", "hidden"], [".mlp.act", "GELU", "activated"],
    [".mlp.out", "fc₂", "branch's output"], ["", "+", "y = mid + …"]] },
];

function tensorNorms(name) {
  const { norms, shape } = T.tensors[name];
  return norms.slice(state.image * shape[1], (state.image + 1) * shape[1]);
}

/** The picture of the chosen image (and head). */
function pictureOf(name) {
  const tensor = T.tensors[name];
  if (!tensor || tensor.pictures.length === 0) return null;
  if (name.endsWith("probabilities")) return tensor.pictures[state.image * tensor.shape[1] + state.head];
  return tensor.pictures.length === 1 ? tensor.pictures[0] : tensor.pictures[state.image];
}

function rms(name) {
  const tensor = T.tensors[name];
  return tensor.statistics.norm / Math.sqrt(tensor.shape.reduce((a, b) => a * b, 1));
}

/** The wiring of a block. Way down: activations; way up: gradients. A click enlarges one. */
function flowFigure(prefix, way) {
  const kind = way === "backward" ? "gact" : "act";
  const detail = h("div", { class: "detail" });
  let chosen = null;
  const show = (button, name) => {
    if (chosen) chosen.setAttribute("aria-pressed", "false");
    chosen = button;
    button.setAttribute("aria-pressed", "true");
    const twin = `${kind === "act" ? "gact" : "act"}.${name}`;
    detail.replaceChildren(...[`${kind}.${name}`, twin].filter((n) => T.tensors[n]).map((n) => matrixFigure(n)));
  };
  let first = null;
  const node = (prefix, [part, symbol, what]) => {
    const name = prefix + part;
    const full = T.tensors[`${kind}.${name}`] ? `${kind}.${name}` : null;
    const picture = full && pictureOf(full);
    const button = h("button", { type: "button", class: symbol === "+" ? "node sum" : "node", "aria-pressed": false, title: name,
      disabled: !full, click: () => show(button, name) },
    h("b", {}, symbol),
    picture ? heat(picture, 64, 40, { label: name }) : h("span", { class: "nothing" }, "not kept"),
    h("small", {}, what),
    h("small", { class: "value" }, full ? `rms ${short(rms(full))}` : ""));
    if (full && !first) first = [button, name];
    return button;
  };
  const branches = BRANCHES.map((branch) =>
    h("div", { class: "branch" },
      h("span", { class: "enters" }, branch.enters),
      h("div", { class: "wires" }, branch.nodes.map((n) => node(prefix, n)))));
  const hint = way === "backward" ? "Gradients run from right to left. Click one to see it beside its activation." : "Click one to see it beside its gradient.";
  const figure = h("div", { class: `flow ${way || "forward"}` }, h("p", { class: "note" }, hint), branches, detail);
  show(...first);
  return figure;
}

/** Width of the image that the chosen token looks at. */
const ASKER = 360;

/** Attention maps of all heads, and the chosen token's row on the image. */
function attentionFigure(prefix) {
  const name = `act.${prefix}.attn.probabilities`;
  const tensor = T.tensors[name];
  const [, heads, tokens] = tensor.shape;
  const decoder = prefix.startsWith("decoder");
  state.head = Math.min(state.head, heads - 1);
  state.token = Math.min(state.token, tokens - 1);
  const map = (head) => cells(tensor.pictures[state.image * heads + head]);
  const across = Math.ceil(Math.sqrt(heads));
  const side = Math.min(220, Math.floor(620 / across) - 24);
  const maps = h("div", { class: "heads" });
  maps.style.gridTemplateColumns = `repeat(${across}, minmax(0, ${side + 12}px))`;
  const aside = h("div", {});
  const draw = () => {
    maps.replaceChildren(...Array.from({ length: heads }, (_, head) => {
      const element = heat(map(head), side, side, { name: `P, head ${head} `, onpick: (i) => {
        state.head = head;
        state.token = map(head).row(i);
        draw();
      } });
      const line = h("i", { class: "row-mark" });
      line.style.top = `${((state.token + 0.5) / tokens) * 100}%`;
      return h("figure", { class: head === state.head ? "head chosen" : "head" },
        h("div", { class: "framed" }, element, line), h("figcaption", {}, `head ${head}`));
    }));
    aside.replaceChildren(rowOnImage());
  };
  function rowOnImage() {
    const picture = map(state.head);
    const row = [...Array(picture.rows).keys()].find((i) => picture.row(i) >= state.token) ?? picture.rows - 1;
    const weight = (token) => picture.at(row, Math.min(Math.floor(((token + 0.5) * picture.columns) / tokens), picture.columns - 1));
    const most = Math.max(...Array.from({ length: tokens }, (_, t) => weight(t)));
    const tokenOf = (l) => (decoder ? l + 1 : kept(l) ? RESTORE[state.image][l] + 1 : null);
    const asker = patchOf(state.token, decoder);
    const grid = patchGrid(ASKER, (context, l, x, y, side) => {
      const token = tokenOf(l);
      if (token === null) return drawRemoved(context, x, y, side);
      context.globalAlpha = 0.25;
      if (!decoder || kept(l)) drawPatch(context, photos[state.image].original, l, x, y, side);
      context.globalAlpha = 0.85;
      context.fillStyle = rgb(colour("forward", weight(token) / most));
      context.fillRect(x, y, side, side);
      context.globalAlpha = 1;
      if (l === asker) {
        context.lineWidth = 3;
        context.strokeStyle = css("--chosen");
        context.strokeRect(x + 1, y + 1, side - 2, side - 2);
      }
    }, { label: "attention of the chosen token", hover: (l) => {
      const token = tokenOf(l);
      return token === null ? `patch ${l} was removed` : `to patch ${l}: ${picture.exact ? single(weight(token)) : "≈ " + short(weight(token))}`;
    } });
    grid.classList.add("pick");
    grid.addEventListener("click", (event) => {
      const [x, y] = pointer(event, grid, ASKER, (ASKER / COLUMNS) * ROWS);
      const token = tokenOf(Math.floor((y * COLUMNS) / ASKER) * COLUMNS + Math.floor((x * COLUMNS) / ASKER));
      if (token !== null && token !== undefined) {
        state.token = token;
        draw();
      }
    });
    const who = asker === null ? "The class token" : `Patch ${asker}`;
    return h("div", { class: "asker" }, grid,
      h("p", {}, h("b", {}, who), ` in head ${state.head} gives ${short(100 * weight(0))} % to the class token. `,
        "Rows ask, columns are listened to; click a row of a map or a patch. ",
        h("button", { type: "button", class: "link", click: () => { state.token = 0; draw(); } }, "Let the class token ask")),
      legend(most, false));
  }
  draw();
  return h("div", { class: "split wide" }, maps, aside);
}

/** The norm of each token, on the patches. */
function tokensFigure(name) {
  const norms = tensorNorms(name);
  const decoder = norms.length === PATCHES + 1;
  const whole = norms.length === PATCHES;
  const ramp = name.startsWith("gact") ? "loss" : "forward";
  const most = Math.max(...norms);
  const tokenOf = (l) => (whole ? l : decoder ? l + 1 : kept(l) ? RESTORE[state.image][l] + 1 : null);
  const print = PATCHES <= 64;
  const paint = (context, l, x, y, side) => {
    const token = tokenOf(l);
    if (token === null) return drawRemoved(context, x, y, side);
    const fill = colour(ramp, most > 0 ? norms[token] / most : 0);
    context.fillStyle = rgb(fill);
    context.fillRect(x, y, side, side);
    if (print) {
      context.fillStyle = inkOn(fill);
      context.font = `${Math.min(side * 0.27, 12)}px ${css("--mono")}`;
      context.textAlign = "center";
      context.textBaseline = "middle";
      context.fillText(norms[token] === 0 ? "0" : norms[token] < 0.01 ? norms[token].toExponential(0) : norms[token].toPrecision(2), x + side / 2, y + side / 2);
    }
    if (kept(l) && PATCHES <= 400) frame(context, x, y, side, "--visible");
  };
  const grid = patchGrid(340, paint, { label: `norms of ${name}`, hover: (l) => {
    const token = tokenOf(l);
    return token === null ? `patch ${l} was removed` : `‖patch ${l}‖ = ${norms[token]}`;
  } });
  const own = whole ? null : h("p", { class: "class-norm" }, "class token ", h("b", {}, number(norms[0])));
  return h("div", { class: "tokens" }, grid, h("div", {}, own, legend(most, false, ramp),
    key(whole || decoder ? [["--visible", "visible patch"]] : [["--visible", "visible patch"], ["removed", "removed"]])));
}

/** A tensor of the chosen image, tokens down and features across. */
function matrixFigure(name) {
  const tensor = T.tensors[name];
  const picture = pictureOf(name);
  if (!picture) return null;
  const [rows, columns] = picture.of;
  const width = 640;
  const height = Math.min(Math.max(rows * Math.max(3, Math.min(10, 260 / rows)), 24), 320);
  const ramp = picture.signed ? "signed" : "forward";
  const tokens = tensor.shape.length === 3 && !/^(param|grad|adamw1|update)\./.test(name);
  const strip = tokens ? stripFor(rows, height) : null;
  return h("figure", { class: "matrix" },
    h("figcaption", {}, h("code", {}, name), dims(name), legend(picture.scale, picture.signed, ramp)),
    h("div", { class: "strip-and-heat" }, strip, heat(picture, width, height, { ramp, name })),
    h("div", { class: "axes" }, h("span", {}, tokens ? "↓ tokens" : "↓ outputs"), h("span", {}, `features → ${columns}`)));
}

/** Which token is the class token, a visible or a removed patch. */
function stripFor(rows, height) {
  const whole = rows === PATCHES;
  const decoder = rows === PATCHES + 1;
  if (!whole && !decoder && rows !== T.len_keep + 1) return null;
  return canvas(6, height, (context) => {
    for (let token = 0; token < rows; token++) {
      const patch = whole ? token : patchOf(token, decoder);
      context.fillStyle = css(patch === null ? "--class" : kept(patch) ? "--visible" : "--removed-line");
      context.fillRect(0, (token * height) / rows, 6, height / rows + 0.5);
    }
  }, { class: "strip", "aria-hidden": "true" });
}
