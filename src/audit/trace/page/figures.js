// The other figures, by the names that stages.toml uses.

const FIGURES = {
  overview: { title: "From a few patches to the whole image", draw: overviewFigure },
  numbers: { title: "The step in numbers", draw: numbersFigure },
  image: { title: "As pixels, and as the numbers that go in", draw: imageFigure },
  patches: { title: "One patch, one token", draw: patchesFigure },
  waves: { title: "Features of the table, over the image", draw: wavesFigure },
  mask: { title: "Where each patch goes", draw: (mode, gradients) => maskFigure(mode || "forward", gradients) },
  flow: { title: "The block, intermediate by intermediate", draw: flowFigure },
  attention: { title: "Attention, head by head", draw: attentionFigure },
  tokens: { title: "Norm of each token", draw: tokensFigure },
  matrix: { title: "", draw: matrixFigure },
  prediction: { title: "What the model makes of the rest", draw: predictionFigure },
  loss: { title: "Loss of each patch", draw: lossFigure },
  pixelgrad: { title: "Which pixels would change the loss", draw: pixelGradFigure },
  weights: { title: "Gradients of the weights here", draw: weightsFigure },
  adamw: { title: "One weight, by hand", draw: adamwFigure },
  update: { title: "Every tensor", draw: updateFigure },
};

/** A picture of the chosen image with a caption; `paint` may replace how a patch is drawn. */
function photo(name, caption, width = 200, paint) {
  const draw = paint || ((context, l, x, y, side) => drawPatch(context, photos[state.image][name], l, x, y, side));
  return h("figure", { class: "photo" }, patchGrid(width, draw, { gap: paint ? 1.5 : 0, label: caption }), h("figcaption", {}, caption));
}

function paintMasked(context, l, x, y, side) {
  if (!kept(l)) return drawRemoved(context, x, y, side);
  drawPatch(context, photos[state.image].original, l, x, y, side);
  frame(context, x, y, side, "--visible");
}

/** The visible patches frame what they see, the loss tints what is removed. */
function paintLoss(context, l, x, y, side) {
  const losses = T.loss_per_patch[state.image];
  if (kept(l)) {
    context.globalAlpha = 0.4;
    drawPatch(context, photos[state.image].original, l, x, y, side);
    context.globalAlpha = 1;
    return;
  }
  const most = Math.max(...losses.filter((_, patch) => !kept(patch)));
  context.fillStyle = rgb(colour("loss", losses[l] / most));
  context.fillRect(x, y, side, side);
}

function overviewFigure() {
  const arrow = () => h("span", { class: "arrow", "aria-hidden": "true" }, "→");
  return h("div", { class: "strip-of-photos" },
    photo("original", "the image"), arrow(),
    photo("original", `what the encoder sees: ${T.len_keep} of ${PATCHES}`, 200, paintMasked), arrow(),
    photo("pasted", "what the decoder paints"), arrow(),
    photo("original", "how wrong each patch is", 200, paintLoss));
}

function numbersFigure() {
  const n = T.numbers;
  const card = (name, value, more) => h("div", {}, h("dt", {}, name), h("dd", {}, value), h("small", {}, more || ""));
  return h("dl", { class: "cards" },
    card("loss", number(n.loss), "mean over removed patches"),
    card("loss after the step", number(n.loss_after), `${n.loss_after < n.loss ? "lower" : "not lower"} on these images`),
    card("gradient norm", number(n.grad_norm), n.clip_grad ? `clipped to ${n.clip_grad}` : "not clipped"),
    card("learning rate", number(n.lr), `step ${n.step} of AdamW`),
    card("parameters", T.parameters.toLocaleString("en"), `${T.trained.toLocaleString("en")} trained`),
    card("encoder sees", `${T.len_keep} of ${PATCHES}`, `patches of ${T.model.patch_size} × ${T.model.patch_size} pixels`));
}

function imageFigure() {
  const planes = T.tensors.images.pictures.slice(state.image * T.model.in_chans, (state.image + 1) * T.model.in_chans).slice(0, 3);
  const height = Math.round((240 * ROWS) / COLUMNS);
  return h("div", { class: "strip-of-photos" }, photo("original", T.sources[state.image], 240),
    planes.map((plane, c) => h("figure", { class: "photo" }, heat(plane, 240, height, { name: `images[${state.image}, ${c}]` }),
      h("figcaption", {}, `channel ${c} `, legend(plane.scale, true)))));
}

/** Values of a patch in the order of the projection (channel, row, column), where the page has them exactly. */
function patchPixels(l) {
  const { in_chans, patch_size: p } = T.model;
  const planes = T.tensors.images.pictures.slice(state.image * in_chans, (state.image + 1) * in_chans).map(cells);
  if (!planes[0].exact) return null;
  const [top, left] = [Math.floor(l / COLUMNS) * p, (l % COLUMNS) * p];
  return planes.flatMap((plane) => Array.from({ length: p * p }, (_, i) => plane.at(top + Math.floor(i / p), left + (i % p))));
}

function patchesFigure() {
  const detail = h("div", { class: "story" });
  const show = () => {
    const l = state.patch;
    const p = T.model.patch_size;
    const values = patchPixels(l);
    const big = canvas(150, 150, (context) => {
      drawPatch(context, photos[state.image].original, l, 0, 0, 150);
      if (!values || p > 8 || T.model.in_chans > 1) return;
      context.textAlign = "center";
      context.textBaseline = "middle";
      context.font = `${Math.min(150 / p / 3.2, 13)}px ${css("--mono")}`;
      values.forEach((value, i) => {
        const [x, y] = [((i % p) + 0.5) * (150 / p), (Math.floor(i / p) + 0.5) * (150 / p)];
        const level = context.getImageData((x * context.canvas.width) / 150, ((y - 150 / p / 2.6) * context.canvas.height) / 150, 1, 1).data;
        context.fillStyle = inkOn(level);
        context.fillText(value.toFixed(2).replace("-", "−"), x, y);
      });
    }, { role: "img", "aria-label": `patch ${l}` });
    detail.replaceChildren(h("div", { class: "patch-detail" }, big,
      h("p", {}, h("b", {}, `Patch ${l}`), `, row ${Math.floor(l / COLUMNS)}, column ${l % COLUMNS}: ${p} × ${p} × ${T.model.in_chans} = ${p * p * T.model.in_chans} numbers become ${T.model.embed_dim}.`)),
    embeddingByHand(l, values) || h("p", { class: "note" }, "Patches of this size are not worked out on the page."));
  };
  const grid = patchGrid(320, (context, l, x, y, side) => drawPatch(context, photos[state.image].original, l, x, y, side),
    { gap: 5, label: "patches", onpick: (l) => { state.patch = l; grid.repaint(); show(); } });
  show();
  return h("div", { class: "split" }, h("div", {}, grid, h("p", { class: "note" }, "Click a patch.")), detail);
}

/** `z = w · x + b` for feature 0, in double precision, beside what the tensor holds. */
function embeddingByHand(l, values) {
  if (!T.embedding || !values) return null;
  const { weight, bias, tokens } = T.embedding;
  const sum = values.reduce((total, x, j) => total + x * Math.fround(weight[j]), 0) + Math.fround(bias);
  const terms = values.slice(0, 3).map((x, j) => `${short(x)} · ${short(weight[j])}`).join(" + ");
  return byHand("feature 0 of its token", [
    ["z₀ = Σ x w + b", `${terms} + … + ${short(bias)}`],
    ["by hand", String(sum)],
    ["act.patch_embed", String(tokens[state.image][l])]], sum, tokens[state.image][l],
  values.reduce((size, x, j) => size + Math.abs(x * weight[j]), 0));
}

/** A calculation that the page does again, and how far it is from the tensor; `size` is that of its terms. */
function byHand(title, lines, ours, theirs, size = Math.abs(theirs)) {
  const off = Math.abs(ours - theirs);
  const close = off <= 1e-6 * size;
  return h("div", { class: `by-hand ${close ? "agrees" : "differs"}`, "data-agrees": String(close) }, h("h4", {}, "Checked by hand: ", title),
    h("dl", {}, lines.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
    h("p", {}, close ? "✓ agrees" : "✗ differs", off === 0 ? " exactly" : ` to ${short(off)}`));
}

function wavesFigure() {
  if (T.waves.length === 0) return h("p", { class: "note" }, "Too many patches to draw; the table is in trace.safetensors.");
  return h("div", { class: "waves" }, T.waves.map(({ feature, values }) => {
    const quarter = Math.floor((4 * feature) / T.model.embed_dim);
    const name = ["sin of the column", "cos of the column", "sin of the row", "cos of the row"][quarter];
    return h("figure", {}, patchGrid(130, (context, l, x, y, side) => {
      context.fillStyle = rgb(colour("signed", (values[l] + 1) / 2));
      context.fillRect(x, y, side, side);
    }, { gap: 0.5, label: `feature ${feature}`, hover: (l) => `pos_embed[0, ${l + 1}, ${feature}] = ${values[l]}` }),
    h("figcaption", {}, h("b", {}, `feature ${feature}`), name));
  }));
}

function predictionFigure() {
  return h("div", { class: "strip-of-photos" }, photo("original", "the image", 240), photo("prediction", "predicted, every patch", 240),
    photo("pasted", "predicted where removed", 240),
    T.model.norm_pix_loss
      ? h("p", { class: "note" }, "The model predicts each patch without its mean and spread. In these pictures both are interpolated from the visible patches.")
      : null);
}

function lossFigure() {
  const losses = T.loss_per_patch[state.image];
  const detail = h("div", { class: "story" });
  const most = Math.max(...losses.filter((_, l) => !kept(l)));
  const show = () => {
    const l = state.patch;
    const [pred, target] = ["pred", "target"].map((name) => cells(T.tensors[name].pictures[state.image]));
    const own = (picture) => Array.from({ length: picture.of[1] }, (_, j) => picture.at(l, j));
    let hand = null;
    if (pred.exact && target.exact) {
      const [a, b] = [own(pred), own(target)];
      const mean = a.reduce((sum, x, j) => sum + (x - b[j]) ** 2, 0) / a.length;
      hand = byHand("the patch's loss", [["1/P · Σ (pred − target)²", `(${a.slice(0, 2).map((x, j) => short((x - b[j]) ** 2)).join(" + ")}${a.length > 2 ? " + …" : ""}) / ${a.length}`],
        ["by hand", String(mean)], ["loss_per_patch", String(losses[l])]], mean, losses[l]);
    }
    const pair = ["original", "prediction"].map((name) => h("figure", {}, canvas(110, 110, (context) => drawPatch(context, photos[state.image][name], l, 0, 0, 110)),
      h("figcaption", {}, name === "original" ? "should be" : "predicted")));
    detail.replaceChildren(h("p", { class: kept(l) ? "badge kept" : "badge removed" }, kept(l) ? "visible: not scored" : "removed: scored"),
      h("div", { class: "pair" }, pair),
      h("div", { class: "fact" }, h("span", {}, `loss of patch ${l}`), h("b", {}, String(losses[l]))), hand || "");
  };
  const grid = patchGrid(340, paintLoss, { label: "loss per patch", onpick: (l) => { state.patch = l; grid.repaint(); show(); },
    hover: (l) => `patch ${l}: ${losses[l]}${kept(l) ? " (visible, not scored)" : ""}` });
  show();
  let [total, removed] = [0, 0];
  T.loss_per_patch.forEach((row, b) => row.forEach((loss, l) => { if (!kept(l, b)) { total += Math.fround(loss); removed += 1; } }));
  return h("div", { class: "split" },
    h("div", {}, grid, legend(most, false, "loss"), h("p", { class: "note" }, "Pale pixels were visible and are not scored."),
      byHand("the loss of the step", [["Σ m ℓ / M", `${short(total)} / ${removed} removed patches`], ["by hand", String(total / removed)], ["loss", String(T.numbers.loss)]],
        total / removed, T.numbers.loss)), detail);
}

function pixelGradFigure(...names) {
  return h("div", { class: "pixel-gradients" }, names.map(pixelGradients));
}

function pixelGradients(name) {
  const channels = T.model.in_chans;
  const planes = T.tensors[name].pictures.slice(state.image * channels, (state.image + 1) * channels).slice(0, 3);
  const side = channels === 1 ? 340 : 240;
  return h("div", {}, h("p", { class: "caption" }, h("code", {}, name),
    name === "grad_input" ? "through the network and through the target" : "through the network alone: only visible patches"),
  h("div", { class: "strip-of-photos" }, planes.map((plane, c) => h("figure", { class: "photo" },
    heat(plane, side, Math.round((side * ROWS) / COLUMNS), { name: `${name}[${state.image}, ${c}]` }),
    h("figcaption", {}, channels > 1 ? `channel ${c} ` : "", legend(plane.scale, true))))));
}

/** Thumbnail of a weight's picture in its own proportions. */
function thumbnail(name, most = 150) {
  const picture = T.tensors[name].pictures[0];
  const [rows, columns] = picture.of;
  const wide = Math.min(most, Math.max(24, (most * columns) / Math.max(rows, columns)));
  const high = Math.min(most * 0.66, Math.max(10, (most * rows) / Math.max(rows, columns)));
  return heat(picture, Math.round(wide), Math.round(high), { name });
}

function weightsFigure(prefixes) {
  const own = T.update.filter((u) => u.trained && prefixes.some((prefix) => u.name.startsWith(prefix)));
  return h("div", { class: "weights" }, own.map((u) => h("figure", {},
    h("figcaption", {}, h("code", {}, u.name), dims(`param.${u.name}`)),
    h("div", { class: "pair" },
      h("figure", {}, thumbnail(`param.${u.name}`, 120), h("figcaption", {}, "w ‖", number(T.tensors[`param.${u.name}`].statistics.norm), "‖")),
      h("figure", {}, thumbnail(`grad.${u.name}`, 120), h("figcaption", {}, "dw ‖", number(T.tensors[`grad.${u.name}`].statistics.norm), "‖"))))));
}

function adamwFigure() {
  const box = h("div", {});
  const trained = T.update.filter((u) => u.trained);
  const show = (u) => {
    const [w, g, after] = ["param", "grad", "adamw1"].map((kind) => Math.fround(T.tensors[`${kind}.${u.name}`].first[0]));
    const { lr, step, betas: [beta1, beta2], clip_grad: clip, grad_norm: norm } = T.numbers;
    const used = g * (clip ? Math.min(1, clip / (norm + 1e-6)) : 1);
    const m = beta1 * Math.fround(u.m0[0] || 0) + (1 - beta1) * used;
    const v = beta2 * Math.fround(u.v0[0] || 0) + (1 - beta2) * used * used;
    const move = (lr * (m / (1 - beta1 ** step))) / (Math.sqrt(v / (1 - beta2 ** step)) + 1e-8);
    const decay = lr * u.weight_decay * w;
    const ours = w - decay - move;
    box.replaceChildren(byHand(`element 0 of ${u.name}`, [
      ["w before", single(w)], [clip ? "g, clipped" : "g", clip ? String(used) : single(g)], ["m", String(m)], ["v", String(v)],
      ["η λ w", u.weight_decay > 0 ? short(decay) : "0: not decayed"], ["η m̂ / (√v̂ + ε)", short(move)], ["by hand", String(ours)], ["adamw1", single(after)]], ours, after));
  };
  const select = h("select", { "aria-label": "Tensor", change: () => show(trained[select.selectedIndex]) }, trained.map((u) => h("option", {}, u.name)));
  select.selectedIndex = trained.findIndex((u) => u.name.endsWith("fc1.weight"));
  show(trained[Math.max(select.selectedIndex, 0)]);
  return h("div", {}, h("label", { class: "slider" }, "Tensor", select), box);
}

/** All trained tensors, with a logarithmic bar of how far each moved. */
function updateFigure() {
  const bar = (ratio) => {
    const fill = h("i", {});
    fill.style.width = `${Math.min(Math.max((Math.log10(ratio || 1e-9) + 6) / 6, 0), 1) * 100}%`;
    return h("span", { class: "ratio" }, fill);
  };
  const row = (u) => {
    const [grad, update, weight] = ["grad", "update", "param"].map((kind) => `${kind}.${u.name}`);
    return h("tr", {}, h("th", { scope: "row" }, h("code", {}, u.name), dims(weight)),
      h("td", {}, thumbnail(grad, 56)), h("td", {}, thumbnail(update, 56)),
      h("td", { class: "num" }, number(T.tensors[weight].statistics.norm)), h("td", { class: "num" }, number(T.tensors[grad].statistics.norm)),
      h("td", { class: "num" }, u.weight_decay > 0 ? String(u.weight_decay) : "–"),
      h("td", { class: "ratio-cell" }, bar(u.ratio), u.ratio === null ? "was 0" : number(u.ratio)));
  };
  return h("div", { class: "scroll tall" }, h("table", { class: "numbers" },
    h("thead", {}, h("tr", {}, ["tensor", "gradient", "update Δw", "‖w‖", "‖g‖", "decay λ", "‖Δw‖ / ‖w‖, 10⁻⁶ to 1"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, T.update.filter((u) => u.trained).map(row))));
}
