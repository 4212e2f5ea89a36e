// The page: the outline, one step at a time, its equations, numbers and sources; keys and themes.

const STAGES = T.stages;
const STEPS = [
  ...STAGES.map((stage) => ({ stage, way: "forward" })),
  ...[...STAGES].reverse().map((stage) => ({ stage, way: "backward" })),
];
const address = ({ stage, way }) => `#${way}/${stage.id}`;

// ── equations ─────────────────────────────────────────────────────────────────────────────────

/** Unicode mathematics as elements: `_x` and `^x` (or `_{…}`), roots over their radicand, italic variables;
 *  in a name like `ids_keep` the line is a part of it. */
function equation(text) {
  return h("div", { class: "equation" }, text.split(/,\s{2}/).map((part) => h("span", {}, terms(part))));
}

function terms(text) {
  const out = [];
  for (let i = 0; i < text.length; ) {
    const rest = text.slice(i);
    const script = rest.match(/^([_^])(\{[^}]*\}|.)/u);
    const root = rest.match(/^√(\()?/);
    const word = rest.match(/^[A-Za-z]{2,}(?:_[A-Za-z]{2,})*|^[A-Za-z]/);
    if (script) {
      const inner = script[2].startsWith("{") ? script[2].slice(1, -1) : script[2];
      out.push(h(script[1] === "_" ? "sub" : "sup", {}, terms(inner)));
      i += script[0].length;
    } else if (root) {
      const end = root[1] ? closing(text, i + 1) : i + 1 + text.slice(i + 1).match(/^[^\s,)]*/)[0].length - 1;
      const inner = root[1] ? text.slice(i + 2, end) : text.slice(i + 1, end + 1);
      out.push(h("span", { class: "root" }, "√", h("span", {}, terms(inner))));
      i = end + 1;
    } else if (word) {
      const name = word[0];
      const variable = name.length === 1 || /^d[A-Za-z]$/.test(name);
      out.push(variable ? h("i", {}, name) : name);
      i += word[0].length;
    } else {
      out.push(text[i]);
      i += 1;
    }
  }
  return out;
}

/** The parenthesis that closes the one at `open`. */
function closing(text, open) {
  let depth = 0;
  for (let i = open; i < text.length; i++) {
    if (text[i] === "(") depth += 1;
    if (text[i] === ")") depth -= 1;
    if (depth === 0) return i;
  }
  return text.length - 1;
}

// ── shapes ────────────────────────────────────────────────────────────────────────────────────

/** What the axes of a tensor are called. */
function axes(name) {
  const bare = name.replace(/^(g?act|param|grad|adamw1|update)\./, "");
  const weight = /^(param|grad|adamw1|update)\./.test(name);
  if (weight) return [];
  if (bare === "images" || bare.startsWith("grad_input")) return ["B", "C", "H", "W"];
  if (bare.endsWith("probabilities")) return ["B", "H", "N", "N"];
  if (bare === "pred" || bare === "target") return ["B", "L", "P"];
  if (bare === "loss_per_patch" || bare === "mask") return ["B", "L"];
  if (bare.startsWith("patch_embed")) return ["B", "L", "D"];
  const decoder = bare.startsWith("decoder");
  const tokens = decoder && bare !== "decoder_embed" ? "1+L" : "1+K";
  const inner = { qkv: decoder ? "3E" : "3D", fc1: "4·", act: "4·" }[bare.split(".").pop()];
  return ["B", tokens, (inner || "").replace("4·", "hidden") || (decoder ? "E" : "D")];
}

/** A tensor's shape as a chip. */
function dims(name) {
  const tensor = T.tensors[name];
  if (!tensor) return null;
  const names = axes(name);
  if (tensor.shape.length === 0) return h("span", { class: "dims" }, "one number");
  return h("span", { class: "dims" }, tensor.shape.map((n, i) => [
    i > 0 ? h("span", { class: "times" }, "×") : null,
    h("span", {}, String(n), names[i] ? h("small", {}, names[i]) : null)]));
}

function shapeFlow(names) {
  return h("div", { class: "shapes" }, names.map((name, i) => [
    i > 0 ? h("span", { class: "arrow", "aria-hidden": "true" }, "→") : null,
    h("span", { class: "chip" }, h("code", {}, name), dims(name))]));
}

// ── numbers and sources ───────────────────────────────────────────────────────────────────────

function numbersTable(names) {
  const known = names.filter((name) => T.tensors[name]);
  if (known.length === 0) return null;
  const columns = 7;
  const rows = known.flatMap((name) => {
    const { statistics: s, first } = T.tensors[name];
    const more = h("tr", { class: "more", hidden: true }, h("td", { colspan: columns },
      h("span", {}, "first elements, as the file has them: "), h("code", {}, first.map(String).join(", "))));
    const toggle = h("button", { type: "button", class: "unfold", "aria-expanded": false, title: "first elements", click: () => {
      more.hidden = !more.hidden;
      toggle.setAttribute("aria-expanded", String(!more.hidden));
    } }, h("code", {}, name));
    return [h("tr", {}, h("th", { scope: "row" }, toggle), h("td", {}, dims(name)),
      [s.min, s.max, s.mean, s.std, s.norm].map((x) => h("td", { class: "num" }, number(x)))), more];
  });
  return h("details", { class: "card fold", open: true }, h("summary", {}, "In numbers"),
    h("div", { class: "scroll" }, h("table", { class: "numbers" },
      h("thead", {}, h("tr", {}, ["tensor", "shape", "min", "max", "mean", "std", "norm"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, rows))));
}

/** Source code with its comments told apart and the lines that carry the equation out marked. */
function listing(quote) {
  const keys = new Set(quote.key_lines);
  return h("pre", { class: keys.size > 0 ? "code keyed" : "code" }, quote.code.split("\n").map((line, i) => {
    const at = line.match(/^\s*\/\/\//) ? 0 : line.indexOf("//");
    const parts = at < 0 ? [line] : [line.slice(0, at), h("span", { class: /^\s*\/\/\//.test(line) ? "doc" : "comment" }, line.slice(at))];
    return h("span", { class: keys.has(i) ? "line marked" : "line" }, h("i", {}, String(quote.line + i)), h("span", {}, parts), "\n");
  }));
}

function sourcePanel(title, way, addresses) {
  const body = h("div", {});
  const tabs = addresses.map((name, i) => {
    const quote = T.quotes[name];
    return h("button", { type: "button", role: "tab", "aria-selected": i === 0, click: () => show(i) },
      h("b", {}, quote.function.replace("::run", "")), h("small", {}, `${quote.file.replace("src/", "")}:${quote.line}`));
  });
  const show = (i) => {
    tabs.forEach((tab, j) => tab.setAttribute("aria-selected", String(i === j)));
    body.replaceChildren(listing(T.quotes[addresses[i]]));
  };
  show(0);
  return h("div", { class: `source ${way}` }, h("h3", {}, title), h("div", { class: "tabs", role: "tablist" }, tabs), body);
}

function sources(stage) {
  return h("details", { class: "card fold", open: true }, h("summary", {}, "In the source"),
    h("div", { class: "sources" }, sourcePanel("forward", "forward", stage.computes), sourcePanel("backward, which inverts it", "backward", stage.inverts)));
}

// ── the step on the page ──────────────────────────────────────────────────────────────────────

const main = document.getElementById("stage");
const rail = document.getElementById("rail");

function figureCard(call, side) {
  const [name, ...args] = call.split(" ");
  const { title, draw } = FIGURES[name];
  const content = name === "weights" ? draw(side.weights) : draw(...args);
  if (!content) return null;
  return h("section", { class: `card figure figure-${name}` }, title ? h("h2", {}, title) : null, content);
}

function imageSwitch() {
  if (IMAGES < 2) return null;
  return h("div", { class: "images", role: "group", "aria-label": "Image" }, T.sources.map((source, i) =>
    h("button", { type: "button", "aria-pressed": i === state.image, title: source, click: () => {
      state.image = i;
      render(false);
    } }, h("img", { src: T.pictures[i].original, alt: `image ${i}` }))));
}

function render(scroll = true) {
  hideTip();
  const { stage, way } = STEPS[state.step];
  const side = stage[way];
  document.body.dataset.way = way;
  const last = state.step === STEPS.length - 1;
  main.replaceChildren(
    h("header", {},
      h("p", { class: "kicker" }, h("span", { class: "way" }, way === "forward" ? "forward ↓" : "backward ↑"),
        `step ${state.step + 1} of ${STEPS.length}`),
      imageSwitch(),
      h("h1", {}, side.title),
      h("p", { class: "lead" }, side.text)),
    h("div", { class: "card formula" }, side.equations.map(equation), side.shapes.length > 0 ? shapeFlow(side.shapes) : null),
    ...side.figures.map((call) => figureCard(call, side)).filter(Boolean),
    ...[numbersTable(side.tensors), sources(stage), last || state.step === 0 ? about() : null].filter(Boolean),
    h("footer", {}, turn(-1, "← "), turn(1, "", " →")));
  for (const button of rail.querySelectorAll("button[data-step]")) {
    const current = Number(button.dataset.step) === state.step;
    button.setAttribute("aria-current", current ? "step" : "false");
    if (current) button.closest("li").scrollIntoView({ block: "nearest" });
    button.closest("li").classList.toggle("current", [...button.closest("li").querySelectorAll("[data-step]")].some((b) => Number(b.dataset.step) === state.step));
  }
  if (scroll) window.scrollTo(0, 0);
}

function turn(by, before = "", after = "") {
  const to = state.step + by;
  if (to < 0 || to >= STEPS.length) return h("span", {});
  return h("button", { type: "button", class: STEPS[to].way, click: () => go(to) }, before, STEPS[to].stage.name, after);
}

function about() {
  return h("details", { class: "card fold about" }, h("summary", {}, "About this page"),
    h("p", {}, `Written by vit-mae ${T.version} from ${T.origin}. Images: ${T.sources.join(", ")}. `,
      "Every tensor here is in trace.safetensors, under the name that is shown; numbers are those of the file, and a pointer on one shows all of its digits."),
    h("ul", {}, T.left_out.map((note) => h("li", {}, note))));
}

function go(step) {
  state.step = Math.min(Math.max(step, 0), STEPS.length - 1);
  const hash = address(STEPS[state.step]);
  if (location.hash !== hash) history.pushState(null, "", hash);
  render();
}

function fromAddress() {
  const found = STEPS.findIndex((step) => address(step) === location.hash);
  state.step = Math.max(found, 0);
}

// ── the outline ───────────────────────────────────────────────────────────────────────────────

function drawRail() {
  const dot = (step, way, name) => h("button", { type: "button", class: `dot ${way}`, "data-step": step, "aria-label": `${name}, ${way}`, click: () => go(step) });
  const rows = STAGES.map((stage, i) => {
    const back = STEPS.length - 1 - i;
    return h("li", {}, dot(i, "forward", stage.name),
      h("button", { type: "button", class: "name", click: () => go(STEPS[state.step].way === "forward" ? i : back) }, i === 0 ? "The step · the update" : stage.name),
      dot(back, "backward", stage.name));
  });
  rail.replaceChildren(
    h("div", { class: "brand" }, h("b", {}, "One training step"), h("span", {}, T.origin), themeButton()),
    h("div", { class: "ways" }, h("span", { class: "forward" }, "forward ↓"), h("span", { class: "backward" }, "↑ backward")),
    h("ol", {}, rows),
    h("div", { class: "keys" }, h("kbd", {}, "←"), h("kbd", {}, "→"), " walk through the step"),
    h("div", { class: "pocket" }, h("button", { type: "button", "aria-label": "back", click: () => go(state.step - 1) }, "←"),
      h("button", { type: "button", class: "where", click: () => document.body.classList.toggle("outline") }, "Outline"),
      h("button", { type: "button", "aria-label": "next", click: () => go(state.step + 1) }, "→")));
  rail.addEventListener("click", (event) => {
    if (event.target.closest("ol")) document.body.classList.remove("outline");
  });
}

function themeButton() {
  const names = ["auto", "light", "dark"];
  const button = h("button", { type: "button", class: "theme", title: "Light or dark", click: () => {
    const next = names[(names.indexOf(document.documentElement.dataset.theme || "auto") + 1) % names.length];
    document.documentElement.dataset.theme = next;
    button.textContent = next;
    recolour();
  } }, "auto");
  return button;
}

function recolour() {
  readRamps();
  render(false);
}

document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
  const steps = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  const ends = { Home: 0, End: STEPS.length - 1 }[event.key];
  if (steps === undefined && ends === undefined) return;
  event.preventDefault();
  go(steps === undefined ? ends : state.step + steps);
});
window.addEventListener("popstate", () => { fromAddress(); render(); });
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);

window.addEventListener("load", () => {
  readRamps();
  drawRail();
  fromAddress();
  render();
});
