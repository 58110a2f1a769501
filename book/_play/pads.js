// Two pads, one for z_P and one for z_A, and the decoded digit.
"use strict";
(() => {
  const vitae = (globalThis.vitae ??= {});
  const { create, named, slider, choice, select, button, sharpCanvas, pad, paint, picture, paintGrid, onceAFrame } = vitae.stage;
  const REACH = 3;

  vitae.demo("pads", (root, live) => {
    const z = { z_P: [0, 0, 0, 0], z_A: [0, 0] }, axes = { z_P: [0, 1], z_A: [0, 1] };
    let model = null, codes = null, shown = null;

    const appearance = picture("the appearance, before it is moved", ["appearance ", create("i", {}, "x̃")]);
    const moved = picture("the digit that the model draws", ["digit ", create("i", {}, "x = T"), create("sub", {}, "γ"), create("i", {}, "(x̃)")]);
    const grid = sharpCanvas(150, { className: "grid", role: "img", "aria-label": "a grid, moved as the digit is" });
    const numbers = create("p", { className: "numbers", "aria-live": "polite" });

    const draw = onceAFrame(() => {
      for (const space of ["z_P", "z_A"]) pads[space].draw();
      if (!model) return;
      const before = model.appearance(z.z_A), gamma = model.gamma(z.z_P);
      shown = { appearance: before, gamma, image: vitae.warp(model.transformation, before, gamma) };
      paint(appearance.canvas, before);
      paint(moved.canvas, shown.image);
      paintGrid(grid, model.transformation, gamma);
      numbers.textContent = ["z_P", "z_A"].map((space) => `${space} = (${z[space].map((v) => v.toFixed(2)).join(", ")})`).join("   ");
    });

    const follow = (space) => {
      const [across, up] = axes[space];
      pads[space].set(z[space][across], z[space][up]);
      sliders[space].forEach((one, i) => one.set(z[space][i]));
      draw();
    };
    const pads = Object.fromEntries([["z_P", "perspective"], ["z_A", "appearance"]].map(([space, word]) => [space, pad({
      name: `pad of ${word}`, space, reach: REACH,
      changed: (at) => { axes[space].forEach((latent, i) => { z[space][latent] = at[i]; }); follow(space); },
    })]));
    const sliders = Object.fromEntries(["z_P", "z_A"].map((space) => [space, z[space].map((_, i) => slider(
      named(`${space}${i + 1}`), { least: -REACH, most: REACH, name: `${space} ${i + 1}`, changed: (value) => { z[space][i] = value; follow(space); } },
    ))]));

    const showCodes = () => {
      for (const space of ["z_P", "z_A"])
        pads[space].show(codes[space].map((code) => axes[space].map((latent) => code[latent])), codes.digits);
    };
    const planes = { "0,1": "first and second", "2,3": "third and fourth", "0,2": "first and third", "1,3": "second and fourth" };
    const plane = select("Latents of the plane:", planes, "0,1", (value) => {
      axes.z_P = value.split(",").map(Number);
      if (codes) showCodes();
      follow("z_P");
    });

    let wanted = null;
    async function use(name) {
      wanted = name;
      // Another model sees the digit that is shown, so that it is not another one under the same numbers.
      const loaded = await Promise.all([model ? vitae.modelWithEncoders(name) : vitae.model(name), vitae.load(`${name}-codes`)]);
      // The reader may have chosen yet another model meanwhile.
      if (wanted !== name) return;
      [model, codes] = loaded;
      if (shown) {
        const { zP, zA } = model.infer(shown.image.values);
        Object.assign(z, { z_P: zP, z_A: zA });
      }
      showCodes();
      ["z_P", "z_A"].forEach(follow);
      root.dataset.transform = model.transform;
    }
    const random = () => {
      // The appearance of one test digit with the perspective of another.
      const pick = () => Math.floor(Math.random() * codes.digits.length);
      if (codes) { z.z_P = [...codes.z_P[pick()]]; z.z_A = [...codes.z_A[pick()]]; ["z_P", "z_A"].forEach(follow); }
    };
    const zero = () => { for (const space of ["z_P", "z_A"]) { z[space].fill(0); follow(space); } };

    const column = (word, space, ...more) => create("section", { className: `column ${space}` },
      create("h4", {}, word), pads[space].element, ...sliders[space].map((one) => one.element), ...more);
    live.append(
      create("div", { className: "controls" },
        choice("Transformation", { "mnist-affine": "affine", "mnist-cpab": "CPAB" }, "mnist-affine", use),
        button("Another digit", random), button("All zero", zero)),
      create("div", { className: "columns" },
        column("Perspective: how it is seen", "z_P", plane.element), column("Appearance: what it shows", "z_A"),
        create("section", { className: "results" }, appearance.element,
          create("figure", { className: "shown" }, grid.canvas, create("figcaption", {}, "the grid moves along")), moved.element)),
      numbers);
    return { start: () => use("mnist-affine"), draw, values: () => ({ ...structuredClone(z), ...shown }) };
  });
})();
