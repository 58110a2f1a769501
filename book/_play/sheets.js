// Faces and bodies: two latents select a picture from an image sheet that book/play.py has drawn.
"use strict";
(() => {
  const vitae = (globalThis.vitae ??= {});
  const { create, named, slider, choice, pad } = vitae.stage;
  const SPACES = { z_P: "Perspective", z_A: "Appearance" };

  vitae.demo("sheets", (root, live) => {
    let sheets = null, dataset = "celeba";
    const at = { z_P: [0, 0], z_A: [0, 0] };

    // Column and row of the nearest picture on the sheet.
    const cell = (space) => {
      const { steps, reach } = sheets[dataset][space];
      const [x, y] = at[space].map((value) => Math.min(Math.max(Math.round((value / reach + 1) * (steps - 1) / 2), 0), steps - 1));
      return { column: x, row: steps - 1 - y, steps };
    };
    const frames = {}, pads = {}, sliders = {};
    function draw() {
      for (const space of Object.keys(SPACES)) {
        pads[space].draw();
        if (!sheets) continue;
        const { column, row, steps } = cell(space);
        Object.assign(frames[space].style, {
          backgroundImage: `url(${new URL(sheets[dataset][space].file, vitae.folder).href})`, backgroundSize: `${100 * steps}%`,
          backgroundPosition: `${100 * column / (steps - 1)}% ${100 * row / (steps - 1)}%`,
        });
        frames[space].setAttribute("aria-label", sheets[dataset][space].alt);
      }
    }
    function move(space, value) {
      at[space] = value;
      pads[space].set(...value);
      sliders[space].forEach((one, i) => one.set(value[i]));
      draw();
    }
    const columns = Object.entries(SPACES).map(([space, word]) => {
      frames[space] = create("div", { className: "frame", role: "img", "aria-label": `a picture over two latents of ${word.toLowerCase()}` });
      pads[space] = pad({ name: `pad of ${word.toLowerCase()}`, space, reach: 2.5, side: 170, changed: (value) => move(space, value) });
      sliders[space] = [0, 1].map((i) => slider(named(`${space}${i + 1}`), {
        least: -2.5, most: 2.5, name: `${space} ${i + 1}`, changed: (value) => move(space, at[space].with(i, value)),
      }));
      return create("section", { className: `column ${space}` }, create("h4", {}, word), frames[space], pads[space].element, ...sliders[space].map((one) => one.element));
    });
    live.append(
      create("div", { className: "controls" }, choice("Pictures", { celeba: "faces", smpl: "bodies" }, dataset, (value) => { dataset = value; draw(); })),
      create("div", { className: "columns" }, ...columns));
    return {
      start: async () => { sheets = await vitae.load("sheets"); draw(); },
      draw, values: () => ({ dataset, at: structuredClone(at), z_P: cell("z_P"), z_A: cell("z_A") }),
    };
  });
})();
