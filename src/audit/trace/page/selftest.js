// `trace.html#selftest` walks every step, uses everything that can be used, and writes down what went wrong.

if (location.hash === "#selftest") {
  const wrong = [];
  window.addEventListener("error", (event) => wrong.push(`error: ${event.message}`));
  window.addEventListener("unhandledrejection", (event) => wrong.push(`rejection: ${event.reason}`));
  // Registered after the page's own listener; all of it runs before the load event is over.
  window.addEventListener("load", () => {
    try {
      selfTest();
    } catch (error) {
      wrong.push(`threw: ${error.stack || error}`);
    }
    document.body.append(h("pre", { id: "selftest" }, JSON.stringify({ passed: wrong.length === 0, steps: STEPS.length, wrong })));
  });

  function expect(holds, what) {
    if (!holds) wrong.push(`${location.hash}: ${what}`);
  }

  function selfTest() {
    for (let image = 0; image < IMAGES; image++) {
      state.image = image;
      STEPS.forEach((step, i) => visit(step, i));
    }
    go(0);
    keys();
    themes();
  }

  function visit({ stage, way }, i) {
    go(i);
    const side = stage[way];
    expect(main.querySelector("h1")?.textContent === side.title, "its title is not shown");
    expect(main.querySelectorAll(".equation").length === side.equations.length, "an equation is missing");
    expect(main.querySelectorAll(".figure").length === side.figures.length, "a figure is missing");
    for (const name of [...side.tensors, ...side.shapes]) expect(T.tensors[name], `no tensor ${name}`);
    expect(main.querySelectorAll(".source pre").length === 2, "the source is missing");
    for (const element of main.querySelectorAll("canvas")) expect(painted(element), "a canvas is empty");
    for (const element of main.querySelectorAll(".by-hand")) expect(element.dataset.agrees === "true", `differs: ${element.textContent}`);
    expect(!/undefined|NaN|\[object/.test(main.textContent.replace(/<pre>.*/s, "").replace(main.querySelector(".sources")?.textContent, "")), "a value is undefined");
    expect(rail.querySelectorAll('[aria-current="step"]').length === 1, "the outline does not show the step");
    for (const button of main.querySelectorAll(".states button, .node, .tabs button, .unfold, .link")) if (!button.disabled) button.click();
    for (const element of main.querySelectorAll("canvas")) {
      if (!element.isConnected) continue; // a click before redrew it
      const box = element.getBoundingClientRect();
      const at = { clientX: box.left + box.width * 0.4, clientY: box.top + box.height * 0.6, bubbles: true };
      element.dispatchEvent(new PointerEvent("pointermove", at));
      element.dispatchEvent(new MouseEvent("click", at));
      element.dispatchEvent(new PointerEvent("pointerleave", at));
    }
    for (const input of main.querySelectorAll("input[type=range]")) {
      for (const value of [0, PATCHES - 1]) {
        input.value = value;
        input.dispatchEvent(new Event("input"));
        expect(main.querySelector(".story").textContent.includes(`row ${Math.floor(value / COLUMNS)}`), "the slider does not choose");
      }
    }
    for (const select of main.querySelectorAll("select")) {
      for (let choice = 0; choice < select.options.length; choice++) {
        select.selectedIndex = choice;
        select.dispatchEvent(new Event("change"));
        for (const element of main.querySelectorAll(".by-hand")) expect(element.dataset.agrees === "true", `differs: ${element.textContent}`);
      }
    }
  }

  /** Whether anything is on a canvas. */
  function painted(element) {
    const { data } = element.getContext("2d").getImageData(0, 0, element.width, element.height);
    return data.some((byte) => byte !== 0);
  }

  function press(key) {
    document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  }

  function keys() {
    press("ArrowRight");
    expect(state.step === 1, "→ does not go on");
    press("ArrowLeft");
    expect(state.step === 0, "← does not go back");
    press("End");
    expect(state.step === STEPS.length - 1, "End does not go to the update");
    press("Home");
    expect(state.step === 0, "Home does not go to the start");
    expect(location.hash === address(STEPS[0]), "the address does not follow");
    rail.querySelectorAll(".dot.backward")[1].click();
    expect(STEPS[state.step].way === "backward" && STEPS[state.step].stage === STAGES[1], "a dot does not open its step");
  }

  function themes() {
    const paper = () => getComputedStyle(document.body).backgroundColor;
    const [button, seen] = [rail.querySelector(".theme"), new Set()];
    for (let i = 0; i < 3; i++) {
      button.click();
      seen.add(paper());
    }
    expect(seen.size === 2, "light and dark look the same");
  }
}
