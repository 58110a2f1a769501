// Draw a digit: C-VITAE undoes its perspective and reconstructs it. Turn or shift the drawing, and see which latents move.
"use strict";
(() => {
  const vitae = (globalThis.vitae ??= {});
  const { create, choice, button, slider, dial, named, sharpCanvas, dragging, arrows, paint, picture, onceAFrame, COLOURS } = vitae.stage;
  const SIDE = 28, FINE = 10, PEN = 1.15; // pixels per side of a digit, ink pixels per pixel and side, half the stroke's width in pixels

  vitae.demo("digit", (root, live) => {
    const ink = new Float64Array((SIDE * FINE) ** 2);
    const pen = { at: [SIDE / 2, SIDE / 2], down: false, usedKeys: false };
    const fine = create("canvas", {});
    // How the drawing lies on the sheet: turned by degrees about the middle, then shifted by pixels of a digit.
    const pose = { turn: 0, right: 0, down: 0 };
    let model = null, name = "mnist-affine", digits = null, found = null, dials = null;

    const sheet = sharpCanvas(252, {
      className: "sheet", tabIndex: 0, role: "application",
      "aria-label": "drawing sheet: arrow keys move the pen, space puts it down or lifts it, 0 to 9 bring a written digit, Delete clears",
    });
    const seen = picture("the drawing as the model sees it", "as 28 × 28 pixels");
    const straight = picture("the drawing with its perspective undone", ["in the model's own frame, ", create("i", {}, "T"), create("sub", {}, "−γ"), create("i", {}, "(x)")]);
    const appearance = picture("the appearance that the model sees in it", ["its appearance ", create("i", {}, "x̃")]);
    const again = picture("the reconstruction", "drawn again");
    const numbers = create("p", { className: "numbers", "aria-live": "polite" });
    const latents = create("div", { className: "dials" });

    // A point of the sheet, in pixels of a digit -> the point of the ink that lies there.
    function under([x, y]) {
      const angle = -pose.turn * Math.PI / 180, c = Math.cos(angle), s = Math.sin(angle);
      const dx = x - pose.right - SIDE / 2, dy = y - pose.down - SIDE / 2;
      return [c * dx - s * dy + SIDE / 2, s * dx + c * dy + SIDE / 2];
    }

    // The ink as it lies on the sheet.
    function laid() {
      if (!pose.turn && !pose.right && !pose.down) return ink;
      const wide = SIDE * FINE, values = new Float64Array(wide ** 2);
      for (let y = 0; y < wide; y++)
        for (let x = 0; x < wide; x++) {
          const [fromX, fromY] = under([(x + 0.5) / FINE, (y + 0.5) / FINE]).map((value) => Math.floor(value * FINE));
          if (fromX >= 0 && fromY >= 0 && fromX < wide && fromY < wide) values[y * wide + x] = ink[fromY * wide + fromX];
        }
      return values;
    }

    // The mean of the ink within each pixel.
    function pixels(fineValues) {
      const values = new Float64Array(SIDE * SIDE), wide = SIDE * FINE;
      for (let y = 0; y < wide; y++)
        for (let x = 0; x < wide; x++) values[Math.floor(y / FINE) * SIDE + Math.floor(x / FINE)] += fineValues[y * wide + x];
      return values.map((sum) => sum / FINE ** 2);
    }

    const draw = onceAFrame(() => {
      const onSheetNow = laid();
      const values = pixels(onSheetNow), image = { channels: 1, height: SIDE, width: SIDE, values };
      const empty = !values.some((value) => value > 0.05);
      paint(seen.canvas, image);
      found = null;
      if (model?.encoders && !empty) {
        const { zP, undone, zA } = model.infer(values), asDrawn = model.infer(pixels(ink));
        found = { zP, zA, undone, appearance: model.appearance(zA), image: model.decode(zA, zP), values, asDrawn };
        paint(straight.canvas, undone);
        paint(appearance.canvas, found.appearance);
        paint(again.canvas, found.image);
      }
      for (const { canvas } of [straight, appearance, again]) canvas.classList.toggle("empty", !found);
      for (const [space, key] of [["z_P", "zP"], ["z_A", "zA"]])
        dials?.[space].forEach((one, i) => (found ? one.set(found[key][i], found.asDrawn[key][i]) : one.clear()));
      const list = (z) => z.map((value) => value.toFixed(2)).join(", ");
      numbers.textContent = found ? `z_P = (${list(found.zP)})   z_A = (${list(found.zA)})` : "Draw a digit, large and in the middle, a little turned or shifted.";
      sheet.draw((context) => {
        context.fillStyle = "black";
        context.fillRect(0, 0, sheet.side, sheet.side);
        paint(fine, { channels: 1, height: SIDE * FINE, width: SIDE * FINE, values: onSheetNow });
        context.drawImage(fine, 0, 0, sheet.side, sheet.side);
        if (found) outline(context);
        if (pen.usedKeys) {
          context.beginPath();
          context.arc(...pen.at.map((value) => value * sheet.side / SIDE), 6, 0, 2 * Math.PI);
          context.fillStyle = pen.down ? COLOURS.z_A : "transparent";
          context.fill();
          context.strokeStyle = COLOURS.z_A;
          context.lineWidth = 2;
          context.stroke();
        }
      });
    });

    // The frame of the straightened digit, drawn on the sheet.
    function outline(context) {
      const corners = [], steps = 24;
      for (const [from, to] of [[[-1, -1], [1, -1]], [[1, -1], [1, 1]], [[1, 1], [-1, 1]], [[-1, 1], [-1, -1]]])
        for (let i = 0; i < steps; i++) corners.push(...[0, 1].map((axis) => 0.7 * (from[axis] + (to[axis] - from[axis]) * i / steps)));
      const moved = model.transformation.apply(vitae.negated(model.gamma(found.zP)), corners);
      context.beginPath();
      for (let i = 0; i < moved.length; i += 2)
        context[i ? "lineTo" : "moveTo"]((moved[i] + 1) * sheet.side / 2, (moved[i + 1] + 1) * sheet.side / 2);
      context.closePath();
      context.strokeStyle = "#56b4e9";
      context.lineWidth = 1.5;
      context.stroke();
    }

    // A stroke between two points of the sheet, in pixels of the digit.
    function stroke(from, to) {
      const [x0, y0] = under(from), [x1, y1] = under(to);
      const wide = SIDE * FINE, radius = PEN * FINE;
      const [ax, ay, bx, by] = [x0, y0, x1, y1].map((value) => value * FINE), length = (bx - ax) ** 2 + (by - ay) ** 2;
      const range = (a, b) => [Math.max(0, Math.floor(Math.min(a, b) - radius - 1)), Math.min(wide - 1, Math.ceil(Math.max(a, b) + radius + 1))];
      const [left, right] = range(ax, bx), [top, bottom] = range(ay, by);
      for (let y = top; y <= bottom; y++)
        for (let x = left; x <= right; x++) {
          const along = length ? Math.min(Math.max(((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length, 0), 1) : 0;
          const distance = Math.hypot(x - ax - along * (bx - ax), y - ay - along * (by - ay));
          const i = y * wide + x;
          ink[i] = Math.max(ink[i], Math.min(Math.max(radius + 0.5 - distance, 0), 1));
        }
      draw();
    }

    const poses = {
      turn: slider("turn, °", { least: -45, most: 45, step: 1, name: "turn of the drawing in degrees", digits: 0, changed: (value) => lay({ turn: value }) }),
      right: slider("right, px", { least: -5, most: 5, step: 0.25, name: "shift of the drawing to the right in pixels", changed: (value) => lay({ right: value }) }),
      down: slider("down, px", { least: -5, most: 5, step: 0.25, name: "shift of the drawing down in pixels", changed: (value) => lay({ down: value }) }),
    };
    function lay(changed) {
      Object.assign(pose, changed);
      draw();
    }
    function straighten() {
      for (const [key, one] of Object.entries(poses)) { pose[key] = 0; one.set(0); }
    }
    function clear() { ink.fill(0); pen.down = false; straighten(); draw(); }
    function bring(digit) {
      if (!digits) return;
      straighten();
      const { values } = digits[digit], wide = SIDE * FINE;
      for (let y = 0; y < wide; y++)
        for (let x = 0; x < wide; x++) ink[y * wide + x] = values[Math.floor(y / FINE) * SIDE + Math.floor(x / FINE)];
      pen.down = false;
      draw();
    }

    const onSheet = ([x, y]) => [(x + 1) * SIDE / 2, (y + 1) * SIDE / 2];
    dragging(sheet.canvas, {
      pressed: (at) => { pen.usedKeys = false; pen.at = onSheet(at); stroke(pen.at, pen.at); },
      moved: (at) => { const next = onSheet(at); stroke(pen.at, next); pen.at = next; },
    });
    const brings = Object.fromEntries(Array.from({ length: 10 }, (_, digit) => [String(digit), () => bring(digit)]));
    arrows(sheet.canvas, {
      step: 0.5,
      moved: (dx, dy) => {
        const next = [pen.at[0] + dx, pen.at[1] - dy].map((value) => Math.min(Math.max(value, 0), SIDE));
        pen.usedKeys = true;
        if (pen.down) stroke(pen.at, next);
        pen.at = next;
        draw();
      },
      others: {
        ...brings, Delete: clear, Backspace: clear,
        " ": () => { pen.usedKeys = true; pen.down = !pen.down; if (pen.down) stroke(pen.at, pen.at); draw(); },
      },
    });

    async function use(chosen) {
      name = chosen;
      const [ready, written] = await Promise.all([vitae.modelWithEncoders(chosen), vitae.load("digits")]);
      if (name !== chosen) return;
      model = ready;
      root.dataset.transform = model.transform;
      digits = written.pictures.map(vitae.unpacked);
      const row = (space) => Array.from({ length: model.spaces[space] }, (_, i) => dial(named(`${space}${i + 1}`), space));
      dials = { z_P: row("z_P"), z_A: row("z_A") };
      latents.replaceChildren(...[["z_P", "perspective: moves as you turn and shift"], ["z_A", "appearance: should stay"]].map(
        ([space, said]) => create("section", { className: space }, create("h4", {}, said), ...dials[space].map((one) => one.element))));
      draw();
    }
    live.append(
      create("div", { className: "controls" },
        choice("Transformation", { "mnist-affine": "affine", "mnist-cpab": "CPAB" }, name, use), button("Clear", clear),
        create("span", { className: "digits", role: "group", "aria-label": "bring a written digit" },
          "or bring one: ", ...Object.keys(brings).map((digit) => button(digit, () => bring(Number(digit)))))),
      create("div", { className: "columns" },
        create("section", { className: "column poses" }, sheet.canvas, ...Object.values(poses).map((one) => one.element)),
        create("section", { className: "results" }, seen.element, straight.element, appearance.element, again.element),
        latents),
      numbers);
    return { start: () => use(name), draw, values: () => found };
  });
})();
