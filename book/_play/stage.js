// Shared by all demonstrations: controls, pads for two latents, pictures and grids on canvases, and loading data when a
// demonstration comes near the visible part of the page.
"use strict";
(() => {
  const vitae = (globalThis.vitae ??= {});
  vitae.folder = new URL("data/", document.currentScript.src);

  // One colour per space, as in vitae/report/figures/style.py, and one per digit.
  const COLOURS = { z_A: "#0072b2", z_P: "#d55e00" };
  const DIGITS = {
    light: ["#332288", "#0077bb", "#11776f", "#117733", "#7a7a00", "#a07800", "#b03a48", "#882255", "#aa4499", "#555555"],
    dark: ["#b3a7ff", "#88ccee", "#44ccb8", "#6fd08c", "#d6d65c", "#ffdd88", "#ff9aa5", "#f09ac0", "#eea0e0", "#cccccc"],
  };
  const isDark = () => document.documentElement.dataset.theme === "dark";
  const faint = () => (isDark() ? "#55585c" : "#c4c7cc");

  // Create an element: create("button", { type: "button", onclick }, "text", child, ...).
  function create(tag, properties = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name in element && !name.startsWith("aria")) element[name] = value;
      else element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  }

  const named = (latent) => {
    const [, space, number] = /^(z_[AP])(\d+)$/.exec(latent);
    return create("span", { className: "latent" }, "z", create("sub", {}, `${space.at(-1)}${number}`));
  };

  // A labelled range input that calls `changed` with its value.
  function slider(label, { least, most, step = 0.01, value = 0, name, digits = 2, changed }) {
    const shown = create("output", {}, value.toFixed(digits));
    const input = create("input", { type: "range", min: least, max: most, step, value, "aria-label": name });
    input.addEventListener("input", () => { shown.textContent = Number(input.value).toFixed(digits); changed(Number(input.value)); });
    const element = create("label", { className: "slider" }, create("span", {}, label), input, shown);
    return {
      element, input,
      set(number) { input.value = number; shown.textContent = Number(number).toFixed(digits); },
    };
  }

  // A latent's value as a mark on a line from -4 to 4, with a second, hollow mark for where it was.
  function dial(label, space) {
    const now = create("i", { className: "now" }), before = create("i", { className: "before" });
    const element = create("div", { className: `dial ${space}`, "aria-hidden": "true" },
      create("span", {}, label), create("span", { className: "line" }, before, now));
    const put = (mark, value) => { mark.style.left = `${50 + 12.5 * Math.min(Math.max(value, -4), 4)}%`; };
    return {
      element,
      set(value, was) { put(now, value); put(before, was); element.classList.remove("empty"); },
      clear() { element.classList.add("empty"); },
    };
  }

  // Radio buttons; `options` is {value: text}.
  let groups = 0;
  function choice(legend, options, chosen, changed) {
    const group = `choice-${groups++}`;
    const buttons = Object.entries(options).map(([value, text]) => {
      const input = create("input", { type: "radio", name: group, value, checked: value === chosen });
      input.addEventListener("change", () => changed(value));
      return create("label", {}, input, text);
    });
    return create("fieldset", { className: "choice" }, create("legend", {}, legend), ...buttons);
  }

  function select(label, options, chosen, changed) {
    const input = create("select", {}, ...Object.entries(options).map(([value, text]) =>
      create("option", { value, selected: value === chosen }, text)));
    input.addEventListener("change", () => changed(input.value));
    return { element: create("label", { className: "select" }, `${label} `, input), input };
  }

  const button = (text, pressed) => create("button", { type: "button", onclick: pressed }, text);

  // A square canvas at the screen's resolution; `draw` gets a context in CSS pixels.
  function sharpCanvas(side, properties) {
    const canvas = create("canvas", properties), ratio = Math.min(globalThis.devicePixelRatio || 1, 2);
    canvas.width = canvas.height = Math.round(side * ratio);
    canvas.style.width = `${side}px`;
    const context = canvas.getContext("2d");
    return {
      canvas, side,
      draw(paint) {
        context.setTransform(ratio, 0, 0, ratio, 0, 0);
        context.clearRect(0, 0, side, side);
        paint(context);
      },
    };
  }

  // A pointer's position on a canvas in [-1, 1]^2, y down.
  function place(event, canvas) {
    const box = canvas.getBoundingClientRect();
    return [2 * (event.clientX - box.left) / box.width - 1, 2 * (event.clientY - box.top) / box.height - 1];
  }

  // Press and drag with mouse, pen or finger.
  function dragging(canvas, { pressed, moved }) {
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      canvas.setPointerCapture(event.pointerId);
      pressed(place(event, canvas));
      canvas.focus({ preventScroll: true });
      event.preventDefault();
    });
    canvas.addEventListener("pointermove", (event) => {
      if (canvas.hasPointerCapture(event.pointerId)) moved(place(event, canvas));
    });
  }

  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

  // Arrow keys call `moved` with a step to the right and upwards, five times as large with shift.
  function arrows(element, { step, moved, others = {} }) {
    element.addEventListener("keydown", (event) => {
      const arrow = ARROWS[event.key], other = others[event.key];
      if (event.ctrlKey || event.metaKey || event.altKey || !(arrow || other)) return;
      event.preventDefault();
      if (other) return other(event);
      const size = event.shiftKey ? 5 * step : step;
      moved(arrow[0] * size, arrow[1] * size);
    });
  }

  // A plane of two latents, the second upwards, moved by dragging, clicking or arrow keys; codes are drawn as digits.
  function pad({ name, space, reach, changed, side = 230 }) {
    const surface = sharpCanvas(side, {
      className: "pad", tabIndex: 0, role: "application", "aria-label": `${name}: arrow keys move, Home returns to zero`,
    });
    const state = { at: [0, 0], codes: [], labels: [] };
    const clamp = (value) => Math.min(Math.max(value, -reach), reach);
    const move = (x, y) => { state.at = [clamp(x), clamp(y)]; draw(); changed(state.at); };
    const pixel = (x, y) => [(x / reach + 1) * side / 2, (1 - y / reach) * side / 2];

    function draw() {
      surface.draw((context) => {
        context.strokeStyle = faint();
        context.beginPath();
        context.moveTo(side / 2, 0); context.lineTo(side / 2, side);
        context.moveTo(0, side / 2); context.lineTo(side, side / 2);
        context.stroke();
        context.font = "9px system-ui, sans-serif";
        context.textAlign = "center";
        context.textBaseline = "middle";
        const colours = DIGITS[isDark() ? "dark" : "light"];
        state.codes.forEach(([x, y], i) => {
          context.fillStyle = colours[state.labels[i]];
          context.fillText(state.labels[i], ...pixel(x, y));
        });
        context.beginPath();
        context.arc(...pixel(...state.at), 8, 0, 2 * Math.PI);
        context.fillStyle = COLOURS[space];
        context.fill();
        context.lineWidth = 2.5;
        context.strokeStyle = "white";
        context.stroke();
        context.lineWidth = 1;
      });
    }

    const to = ([x, y]) => move(x * reach, -y * reach);
    dragging(surface.canvas, { pressed: to, moved: to });
    arrows(surface.canvas, {
      step: 0.1, moved: (dx, dy) => move(state.at[0] + dx, state.at[1] + dy), others: { Home: () => move(0, 0) },
    });
    return {
      element: surface.canvas, draw,
      set(x, y) { state.at = [clamp(x), clamp(y)]; draw(); },
      show(codes, labels) { Object.assign(state, { codes, labels }); draw(); },
    };
  }

  // Draw an image {channels, height, width, values in [0, 1]} at its own size; the style sheet enlarges it.
  function paint(canvas, image) {
    if (canvas.width !== image.width || canvas.height !== image.height) Object.assign(canvas, { width: image.width, height: image.height });
    const context = canvas.getContext("2d"), count = image.height * image.width;
    const pixels = context.createImageData(image.width, image.height);
    for (let i = 0; i < count; i++)
      for (let channel = 0; channel < 4; channel++) {
        const value = channel === 3 ? 1 : image.values[(image.channels === 3 ? channel : 0) * count + i];
        pixels.data[4 * i + channel] = Math.round(255 * Math.min(Math.max(value, 0), 1));
      }
    context.putImageData(pixels, 0, 0);
  }

  // A canvas for an image with a caption.
  function picture(label, caption) {
    const canvas = create("canvas", { className: "picture", width: 28, height: 28, role: "img", "aria-label": label });
    return { canvas, element: create("figure", { className: "shown" }, canvas, create("figcaption", {}, ...[caption].flat())) };
  }

  // Grid lines that move with the picture: T_gamma(image) shows at T_-gamma(p) what the image shows at p.
  function paintGrid(surface, transformation, gamma, { lines = 9, colour = COLOURS.z_P, wipe = true } = {}) {
    const back = vitae.negated(gamma), length = 48, side = surface.side;
    const pixel = (value) => (value + 1) * side / 2;
    const paintLines = (context) => {
      context.strokeStyle = colour;
      context.lineWidth = 1.2;
      for (let i = 0; i < lines; i++)
        for (const across of [true, false]) {
          const points = new Float64Array(2 * (length + 1));
          for (let j = 0; j <= length; j++) {
            points[2 * j + (across ? 0 : 1)] = 2 * j / length - 1;
            points[2 * j + (across ? 1 : 0)] = 2 * i / (lines - 1) - 1;
          }
          const moved = transformation.apply(back, points);
          context.beginPath();
          for (let j = 0; j <= length; j++) context[j ? "lineTo" : "moveTo"](pixel(moved[2 * j]), pixel(moved[2 * j + 1]));
          context.stroke();
        }
    };
    if (wipe) surface.draw(paintLines); else return paintLines;
  }

  // Call `work` at most once per animation frame.
  function onceAFrame(work) {
    let asked = false;
    return () => {
      if (asked) return;
      asked = true;
      requestAnimationFrame(() => { asked = false; work(); });
    };
  }

  // Demonstrations by name: controls are built at once, `start` is called when a demonstration comes near the window.
  const kinds = new Map(), repaints = new Set();
  vitae.demos = {};
  vitae.demo = (name, build) => kinds.set(name, build);

  function raise(root) {
    const live = create("div", { className: "live" }), { start, draw, values } = kinds.get(root.dataset.demo)(root, live);
    const told = create("p", { className: "told", role: "status" });
    root.append(live, told);
    const ready = new Promise((resolve) => {
      const watcher = new IntersectionObserver((entries) => {
        if (!entries.some((entry) => entry.isIntersecting)) return;
        watcher.disconnect();
        told.textContent = "Loading the model …";
        start().then(() => { told.textContent = ""; resolve(); }, (error) => {
          told.textContent = `This demonstration could not start: ${error.message}. The figure below shows the same.`;
          root.classList.add("failed");
        });
      }, { rootMargin: "200px" });
      watcher.observe(root);
    });
    repaints.add(draw);
    vitae.demos[root.dataset.demo] = { root, ready, values };
  }

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("[data-demo]").forEach(raise);
    new MutationObserver(() => repaints.forEach((draw) => draw()))
      .observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  });

  Object.assign(vitae, {
    stage: {
      COLOURS, create, named, slider, dial, choice, select, button, sharpCanvas, dragging, arrows, pad, paint, picture, paintGrid,
      onceAFrame, faint,
    },
    unpacked: ({ channels, height, width, bytes }) => ({
      channels, height, width, values: Float64Array.from(vitae.bytesOf(bytes), (byte) => byte / 255),
    }),
  });
})();
