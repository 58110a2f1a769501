// A C-VITAE for the page: multilayer perceptrons with 8-bit weights, with inference and decoding as in vitae.models.vitae.
"use strict";
(() => {
  const vitae = (globalThis.vitae ??= {});

  function bytesOf(base64) {
    const text = atob(base64), bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    return bytes;
  }

  const SLOPE = 0.1; // of LeakyReLU, as in vitae.models.networks

  // A layer is {inputs, outputs, weights, scales, biases}; a weight is an integer times its row's scale.
  function layerOf({ inputs, outputs, weights, scales, biases }) {
    const floats = (text) => new Float32Array(bytesOf(text).buffer);
    // Small layers have float weights and no scales.
    return {
      inputs, outputs, biases: floats(biases),
      weights: scales ? new Int8Array(bytesOf(weights).buffer) : floats(weights),
      scales: scales ? floats(scales) : null,
    };
  }

  function perceptron(layers, input) {
    let values = input;
    layers.forEach(({ inputs, outputs, weights, scales, biases }, index) => {
      const next = new Float64Array(outputs), last = index === layers.length - 1;
      for (let i = 0, at = 0; i < outputs; i++, at += inputs) {
        let sum = 0;
        for (let j = 0; j < inputs; j++) sum += weights[at + j] * values[j];
        const out = biases[i] + (scales ? scales[i] * sum : sum);
        next[i] = last || out > 0 ? out : SLOPE * out;
      }
      values = next;
    });
    return values;
  }

  // A model written by book/play.py; its encoders are added when they are loaded.
  class Model {
    constructor({ transform, spaces, shape, limit, appearance, perspective }) {
      [this.channels, this.height, this.width] = shape;
      this.spaces = spaces;
      this.limit = limit;
      this.transform = transform;
      this.transformation = vitae.transformationNamed(transform);
      this.appearanceLayers = appearance.map(layerOf);
      this.perspectiveParts = perspective.map((part) => part.map(layerOf));
    }

    addEncoders({ appearance, perspective }) {
      this.encoders = { z_A: appearance.map(layerOf), z_P: perspective.map(layerOf) };
    }

    #image(values) {
      return { channels: this.channels, height: this.height, width: this.width, values };
    }

    // The mean image before the transformation, x_tilde.
    appearance(zA) {
      return this.#image(perceptron(this.appearanceLayers, zA).map((logit) => 1 / (1 + Math.exp(-logit))));
    }

    gamma(zP) {
      const parts = this.perspectiveParts.map((layers) => perceptron(layers, zP));
      const sum = Array.from(parts[0], (_, i) => parts.reduce((total, part) => total + part[i], 0));
      return this.limit === null ? sum : sum.map((value) => this.limit * Math.tanh(value / this.limit));
    }

    decode(zA, zP) {
      return vitae.warp(this.transformation, this.appearance(zA), this.gamma(zP));
    }

    // Posterior means of C-VITAE: z_P of the image, then z_A of T_-gamma(image).
    infer(values) {
      const mean = (space, pixels) => Array.from(perceptron(this.encoders[space], pixels)).slice(0, this.spaces[space]);
      const zP = mean("z_P", values);
      const undone = vitae.warp(this.transformation, this.#image(values), this.gamma(zP), { inverse: true });
      return { zP, undone, zA: mean("z_A", undone.values) };
    }
  }

  // Data are scripts that call vitae.receive(name, value): a page opened from a folder (file://) may not load JSON.
  const received = new Map(), waiting = new Map();
  vitae.receive = (name, value) => {
    received.set(name, value);
    waiting.get(name)?.forEach(({ resolve }) => resolve(value));
    waiting.delete(name);
  };
  vitae.load = (name) => new Promise((resolve, reject) => {
    if (received.has(name)) return resolve(received.get(name));
    const asked = waiting.has(name);
    waiting.set(name, [...(waiting.get(name) ?? []), { resolve, reject }]);
    if (asked) return;
    const script = document.createElement("script");
    script.src = new URL(`${name}.js`, vitae.folder).href;
    script.onerror = () => {
      waiting.get(name).forEach((asker) => asker.reject(new Error(`the book has no ${name}.js`)));
      waiting.delete(name);
      script.remove();
    };
    document.head.append(script);
  });

  const models = new Map();
  vitae.model = (name) => {
    if (!models.has(name)) models.set(name, vitae.load(`${name}-decoders`).then((stated) => new Model(stated)));
    return models.get(name);
  };
  vitae.modelWithEncoders = async (name) => {
    const [model, encoders] = await Promise.all([vitae.model(name), vitae.load(`${name}-encoders`)]);
    if (!model.encoders) model.addEncoders(encoders);
    return model;
  };

  Object.assign(vitae, { Model, bytesOf });
})();
