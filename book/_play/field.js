// The transformation alone: a velocity field that the reader sets, and a picture that flows along it in both directions.
"use strict";
(() => {
  const vitae = (globalThis.vitae ??= {});
  const { create, slider, choice, select, button, sharpCanvas, dragging, arrows, paint, paintGrid, onceAFrame, COLOURS, faint } = vitae.stage;
  const MESHES = ["2x2", "2x4", "4x4"], SIDE = 128, MOST = 0.6;
  const MOTIONS = ["right", "down", "turn", "grow", "stretch across", "stretch along the diagonal"];

  vitae.demo("field", (root, live) => {
    const affine = vitae.transformationNamed("affine"), amounts = [0.2, 0, 0.5, 0, 0, 0];
    const state = { family: "cpab", mesh: "2x4", picture: "face", time: 1, vertex: 0, playing: false };
    let cpab = null, velocities = null, pictures = null, shown = null;

    const field = sharpCanvas(300, {
      className: "field", tabIndex: 0, role: "application",
      "aria-label": "velocity field: arrow keys change the chosen vertex's velocity, n and p choose the next and the one before",
    });
    const flowed = create("canvas", { className: "flowed", width: SIDE, height: SIDE, role: "img", "aria-label": "the picture, moved along the field" });
    const grid = sharpCanvas(300, { className: "over", "aria-hidden": "true" });
    const numbers = create("p", { className: "numbers", "aria-live": "polite" });

    const transformation = () => (state.family === "affine" ? affine : cpab);
    const gamma = () => (state.family === "affine"
      ? affine.generators[0].map((_, i) => amounts.reduce((sum, amount, motion) => sum + amount * affine.generators[motion][i], 0))
      : cpab.gammaOf(velocities));

    function remesh(name) {
      state.mesh = name;
      cpab = vitae.transformationNamed(`cpab-${name}`);
      velocities = new Float64Array(2 * cpab.vertices.length);
      // The first field is a swirl.
      const held = new Set(cpab.free);
      cpab.vertices.forEach(([x, y], vertex) => [-y, x].forEach((value, axis) => {
        if (held.has(2 * vertex + axis)) velocities[2 * vertex + axis] = 0.35 * value;
      }));
      state.vertex = cpab.vertices.length - 1;
      vertexSlider();
    }

    const pixel = (value) => (0.08 + 0.84 * (value + 1) / 2) * field.side;
    const draw = onceAFrame(() => {
      const g = gamma(), family = transformation();
      field.draw((context) => {
        context.strokeStyle = faint();
        if (state.family === "cpab") {
          for (let i = 0; i < cpab.rows; i++)
            for (let j = 0; j < cpab.columns; j++) {
              const at = (row, column) => cpab.vertices[row * (cpab.columns + 1) + column].map(pixel);
              context.strokeRect(...at(i, j), at(i, j + 1)[0] - at(i, j)[0], at(i + 1, j)[1] - at(i, j)[1]);
              context.beginPath();
              context.moveTo(...at(i, j)); context.lineTo(...at(i + 1, j + 1));
              context.moveTo(...at(i, j + 1)); context.lineTo(...at(i + 1, j));
              context.stroke();
            }
        } else context.strokeRect(pixel(-1), pixel(-1), pixel(1) - pixel(-1), pixel(1) - pixel(-1));
        const points = vitae.pixelGrid(13, 13), v = family.velocity(g, points);
        for (let i = 0; i < points.length; i += 2) arrow(context, points[i], points[i + 1], 0.4 * v[i], 0.4 * v[i + 1], faint(), 1);
        if (state.family === "cpab")
          cpab.vertices.forEach(([x, y], vertex) => {
            const chosen = vertex === state.vertex;
            arrow(context, x, y, velocities[2 * vertex], velocities[2 * vertex + 1], chosen ? COLOURS.z_A : COLOURS.z_P, 2);
            context.beginPath();
            context.arc(pixel(x), pixel(y), chosen ? 6 : 4, 0, 2 * Math.PI);
            context.fillStyle = chosen ? COLOURS.z_A : COLOURS.z_P;
            context.fill();
          });
      });
      if (!pictures) return;
      const now = g.map((value) => value * state.time);
      shown = { gamma: now, transform: state.family === "affine" ? "affine" : `cpab-${state.mesh}`, picture: state.picture,
        image: vitae.warp(family, pictures[state.picture], now, { side: SIDE }) };
      paint(flowed, shown.image);
      grid.draw((context) => paintGrid(grid, family, now, { colour: "#ffb000b0", wipe: false })(context));
      numbers.textContent = `time ${state.time.toFixed(2)}, γ = (${now.map((value) => value.toFixed(2)).join(", ")})`;
    });

    function arrow(context, x, y, dx, dy, colour, width) {
      const [x0, y0, x1, y1] = [pixel(x), pixel(y), pixel(x + dx), pixel(y + dy)], length = Math.hypot(x1 - x0, y1 - y0);
      if (length < 1.5) return;
      const [ux, uy] = [(x1 - x0) / length, (y1 - y0) / length], head = Math.min(7, length / 2);
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.beginPath();
      context.moveTo(x0, y0); context.lineTo(x1, y1);
      context.moveTo(x1 - head * (ux - 0.6 * uy), y1 - head * (uy + 0.6 * ux));
      context.lineTo(x1, y1);
      context.lineTo(x1 - head * (ux + 0.6 * uy), y1 - head * (uy - 0.6 * ux));
      context.stroke();
      context.lineWidth = 1;
    }

    // On the boundary only the tangential component can be set.
    const isFree = (axis) => cpab.free.includes(2 * state.vertex + axis);
    function setVelocity(axis, value) {
      if (isFree(axis)) velocities[2 * state.vertex + axis] = Math.min(Math.max(value, -MOST), MOST);
      vertexSlider();
      draw();
    }
    function choose(vertex) {
      state.vertex = (vertex + cpab.vertices.length) % cpab.vertices.length;
      vertexSlider();
      draw();
    }
    const components = ["right", "down"].map((word, axis) => slider(`${word} `, {
      least: -MOST, most: MOST, name: `velocity to the ${word === "right" ? "right" : "bottom"} of the chosen vertex`,
      changed: (value) => setVelocity(axis, value),
    }));
    const chosen = create("output", {});
    function vertexSlider() {
      chosen.textContent = `vertex ${state.vertex + 1} of ${cpab.vertices.length}`;
      components.forEach((one, axis) => { one.set(velocities[2 * state.vertex + axis]); one.input.disabled = !isFree(axis); });
    }

    const toPoint = (value) => (2 * ((value + 1) / 2 - 0.08)) / 0.84 - 1;
    const drag = (at) => at.map(toPoint).forEach((value, axis) => setVelocity(axis, value - cpab.vertices[state.vertex][axis]));
    dragging(field.canvas, {
      pressed: (at) => {
        if (state.family === "affine") return;
        // Choose the nearest arrow tip or vertex.
        const [x, y] = at.map(toPoint);
        const distance = ([vx, vy], i) => Math.min(Math.hypot(x - vx - velocities[2 * i], y - vy - velocities[2 * i + 1]), Math.hypot(x - vx, y - vy) + 0.02);
        const distances = cpab.vertices.map(distance);
        choose(distances.indexOf(Math.min(...distances)));
      },
      moved: (at) => { if (state.family === "cpab") drag(at); },
    });
    arrows(field.canvas, {
      step: 0.05,
      moved: (dx, dy) => {
        if (state.family === "affine") return;
        if (dx) setVelocity(0, velocities[2 * state.vertex] + dx);
        if (dy) setVelocity(1, velocities[2 * state.vertex + 1] - dy);
      },
      others: { n: () => choose(state.vertex + 1), p: () => choose(state.vertex - 1) },
    });

    const motions = MOTIONS.map((word, motion) => slider(word, {
      least: -1, most: 1, value: amounts[motion], name: `amount of ${word}`, changed: (value) => { amounts[motion] = value; draw(); },
    }));
    const time = slider("time", { least: -1, most: 1, value: 1, name: "time of the flow, from minus one to one", changed: (value) => { pause(); state.time = value; draw(); } });
    const play = button("Play", () => (state.playing ? pause() : run()));
    let next = 0;
    function pause() { cancelAnimationFrame(next); state.playing = false; play.textContent = "Play"; }
    function run() {
      state.playing = true;
      play.textContent = "Pause";
      const began = performance.now() - Math.asin(state.time) * 1000;
      const step = (now) => {
        if (!root.isConnected) return;
        state.time = Math.sin((now - began) / 1000);
        time.set(state.time);
        draw();
        next = requestAnimationFrame(step);
      };
      next = requestAnimationFrame(step);
    }
    function still() {
      velocities.fill(0);
      amounts.fill(0);
      motions.forEach((one) => one.set(0));
      vertexSlider();
      draw();
    }

    const vertexControls = create("div", { className: "vertex" },
      create("p", {}, chosen, " ", button("Next", () => choose(state.vertex + 1))), ...components.map((one) => one.element));
    const motionControls = create("div", { className: "motions" }, ...motions.map((one) => one.element));
    const mesh = select("Cells:", Object.fromEntries(MESHES.map((name) => [name, name.replace("x", " × ")])), state.mesh, (name) => { remesh(name); draw(); });
    function useFamily(family) {
      state.family = family;
      motionControls.hidden = family === "cpab";
      vertexControls.hidden = mesh.element.hidden = family === "affine";
      draw();
    }
    remesh(state.mesh);
    const subject = select("Picture:", { face: "a face", digit: "a digit", body: "a body", sprite: "a sprite" }, state.picture, (name) => { state.picture = name; draw(); });
    live.append(
      create("div", { className: "controls" }, choice("Family", { cpab: "CPAB", affine: "affine" }, state.family, useFamily),
        mesh.element, subject.element, play, button("Still", still)),
      create("div", { className: "columns" },
        create("section", { className: "column" }, field.canvas, vertexControls, motionControls),
        create("section", { className: "column" }, create("div", { className: "stacked" }, flowed, grid.canvas), time.element)),
      numbers);
    useFamily(state.family);
    return {
      start: async () => {
        const packed = await vitae.load("pictures");
        pictures = Object.fromEntries(Object.entries(packed).map(([name, one]) => [name, vitae.unpacked(one)]));
        draw();
      },
      draw, values: () => shown,
    };
  });
})();
