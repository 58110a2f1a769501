// Transformations of the image plane, as in vitae.transforms: T_gamma moves points (x, y) of [-1, 1]^2, y down, and a
// warped image is the image sampled where T_gamma moves the pixels' centres. Points are flat arrays x0, y0, x1, y1, ...
"use strict";
(() => {
  const vitae = (globalThis.vitae ??= {});

  // The matrix exponential: a power series of the scaled generator, then repeated squaring.
  const DOUBLINGS = 8, TERMS = 14;
  const product = (p, q) => [
    p[0] * q[0] + p[1] * q[2], p[0] * q[1] + p[1] * q[3],
    p[2] * q[0] + p[3] * q[2], p[2] * q[1] + p[3] * q[3],
    p[0] * q[4] + p[1] * q[5] + p[4], p[2] * q[4] + p[3] * q[5] + p[5],
  ];

  class Affine {
    dim = 6;
    // The named motions of vitae.transforms.affine, in its order.
    generators = [
      [0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 0, 1], [0, -1, 1, 0, 0, 0],
      [1, 0, 0, 1, 0, 0], [1, 0, 0, -1, 0, 0], [0, 1, 1, 0, 0, 0],
    ];

    // The map [[a b tx], [c d ty]] as a, b, c, d, tx, ty.
    matrix(gamma) {
      const [a, b, c, d, tx, ty] = gamma.map((value) => value / 2 ** DOUBLINGS);
      // Horner's rule for the sum of A^n / n!; the last row is zero in the generator and (0, 0, 1) in the map.
      let map = [1, 0, 0, 1, 0, 0];
      for (let n = TERMS; n > 0; n--) {
        const [p, q, r, s, x, y] = map;
        map = [
          1 + (a * p + b * r) / n, (a * q + b * s) / n, (c * p + d * r) / n, 1 + (c * q + d * s) / n,
          (a * x + b * y + tx) / n, (c * x + d * y + ty) / n,
        ];
      }
      for (let n = 0; n < DOUBLINGS; n++) map = product(map, map);
      return map;
    }

    apply(gamma, points) {
      const [a, b, c, d, tx, ty] = this.matrix(gamma), moved = new Float64Array(points.length);
      for (let i = 0; i < points.length; i += 2) {
        moved[i] = a * points[i] + b * points[i + 1] + tx;
        moved[i + 1] = c * points[i] + d * points[i + 1] + ty;
      }
      return moved;
    }

    velocity(gamma, points) {
      const [a, b, c, d, tx, ty] = gamma, found = new Float64Array(points.length);
      for (let i = 0; i < points.length; i += 2) {
        found[i] = a * points[i] + b * points[i + 1] + tx;
        found[i + 1] = c * points[i] + d * points[i + 1] + ty;
      }
      return found;
    }
  }

  // The number of integration steps is proportional to the field's steepness, as in vitae.transforms.cpab.
  const STEPS_PER_STEEPNESS = 8, FEWEST_STEPS = 8, MOST_STEPS = 128;

  // CPAB with velocities that are tangential on the boundary, so that the square maps to itself.
  class Cpab {
    constructor(rows, columns) {
      this.rows = rows;
      this.columns = columns;
      this.vertices = [];
      for (let i = 0; i <= rows; i++)
        for (let j = 0; j <= columns; j++) this.vertices.push([2 * j / columns - 1, 2 * i / rows - 1]);
      for (let i = 0; i < rows; i++)
        for (let j = 0; j < columns; j++) this.vertices.push([(2 * j + 1) / columns - 1, (2 * i + 1) / rows - 1]);
      // For each entry of gamma, its position in the flattened vertex velocities.
      this.free = this.vertices.flatMap((point, vertex) =>
        [0, 1].filter((axis) => Math.abs(point[axis]) !== 1).map((axis) => 2 * vertex + axis));
      this.dim = this.free.length;
    }

    vertexVelocities(gamma) {
      const velocities = new Float64Array(2 * this.vertices.length);
      this.free.forEach((component, position) => { velocities[component] = gamma[position]; });
      return velocities;
    }

    gammaOf(velocities) {
      return this.free.map((component) => velocities[component]);
    }

    // k0 to k4 of each cell and component, in cells per unit of time: v = k0 + k1 s + k2 t + k3 |s-t| + k4 |s+t-1|.
    coefficients(gamma) {
      const { rows, columns } = this, v = this.vertexVelocities(gamma);
      const corners = (rows + 1) * (columns + 1), found = new Float64Array(rows * columns * 10);
      for (let row = 0; row < rows; row++)
        for (let column = 0; column < columns; column++)
          for (let axis = 0; axis < 2; axis++) {
            const unit = (axis ? rows : columns) / 2;
            const corner = (i, j) => unit * v[2 * ((row + i) * (columns + 1) + column + j) + axis];
            const centre = unit * v[2 * (corners + row * columns + column) + axis];
            const k4 = (corner(0, 0) + corner(1, 1)) / 2 - centre;
            const k3 = (corner(0, 1) + corner(1, 0)) / 2 - centre;
            const k0 = corner(0, 0) - k4;
            const k1 = corner(0, 1) - k0 - k3, k2 = corner(1, 0) - k0 - k3;
            found.set([k0, k1, k2, k3, k4], 10 * (row * columns + column) + 5 * axis);
          }
      return found;
    }

    // The largest 2-norm of the velocity's derivative over all triangles, per unit of time.
    steepness(k) {
      let largest = 0;
      for (let cell = 0; cell < k.length; cell += 10)
        for (const falling of [1, -1])
          for (const rising of [1, -1]) {
            const across = (axis) => k[cell + axis + 1] + falling * k[cell + axis + 3] + rising * k[cell + axis + 4];
            const down = (axis) => k[cell + axis + 2] - falling * k[cell + axis + 3] + rising * k[cell + axis + 4];
            const a = across(0), b = down(0) * this.rows / this.columns;
            const c = across(5) * this.columns / this.rows, d = down(5);
            const size = a * a + b * b + c * c + d * d, determinant = a * d - b * c;
            largest = Math.max(largest, (size + Math.sqrt(Math.max(0, size * size - 4 * determinant ** 2))) / 2);
          }
      return Math.sqrt(largest);
    }

    // The velocity at a point in cell coordinates, written to `out`.
    #at(k, u, w, out) {
      u = Math.min(Math.max(u, 0), this.columns);
      w = Math.min(Math.max(w, 0), this.rows);
      const column = Math.min(Math.floor(u), this.columns - 1), row = Math.min(Math.floor(w), this.rows - 1);
      const s = u - column, t = w - row, falling = Math.abs(s - t), rising = Math.abs(s + t - 1);
      const cell = 10 * (row * this.columns + column);
      for (let axis = 0; axis < 2; axis++) {
        const i = cell + 5 * axis;
        out[axis] = k[i] + k[i + 1] * s + k[i + 2] * t + k[i + 3] * falling + k[i + 4] * rising;
      }
    }

    velocity(gamma, points) {
      const k = this.coefficients(gamma), found = new Float64Array(points.length), v = [0, 0];
      for (let i = 0; i < points.length; i += 2) {
        this.#at(k, (points[i] + 1) * this.columns / 2, (points[i + 1] + 1) * this.rows / 2, v);
        found[i] = v[0] * 2 / this.columns;
        found[i + 1] = v[1] * 2 / this.rows;
      }
      return found;
    }

    // The one-leg Adams-Bashforth scheme of vitae.transforms: one evaluation per step.
    apply(gamma, points) {
      const k = this.coefficients(gamma), moved = new Float64Array(points.length), v = [0, 0];
      const wanted = Math.ceil(STEPS_PER_STEEPNESS * this.steepness(k));
      const steps = Math.min(Math.max(wanted, FEWEST_STEPS), MOST_STEPS), h = 1 / steps;
      for (let i = 0; i < points.length; i += 2) {
        const u0 = (points[i] + 1) * this.columns / 2, w0 = (points[i + 1] + 1) * this.rows / 2;
        let u = u0, w = w0;
        this.#at(k, u, w, v);
        for (let n = 0; n < steps; n++) {
          this.#at(k, u + h / 2 * v[0], w + h / 2 * v[1], v);
          u += h * v[0];
          w += h * v[1];
        }
        moved[i] = points[i] + (u - u0) * 2 / this.columns;
        moved[i + 1] = points[i + 1] + (w - w0) * 2 / this.rows;
      }
      return moved;
    }
  }

  // The centres of all pixels, row by row.
  function pixelGrid(height, width) {
    const points = new Float64Array(2 * height * width);
    for (let row = 0, i = 0; row < height; row++)
      for (let column = 0; column < width; column++, i += 2) {
        points[i] = (2 * column + 1) / width - 1;
        points[i + 1] = (2 * row + 1) / height - 1;
      }
    return points;
  }

  // Sample an image {height, width, channels, values} bilinearly at points; outside, the nearest edge pixel counts.
  function resample(image, points, height, width) {
    const { channels, values } = image, count = height * width, read = new Float64Array(channels * count);
    const size = image.height * image.width;
    for (let i = 0; i < count; i++) {
      const x = Math.min(Math.max(((points[2 * i] + 1) * image.width - 1) / 2, 0), image.width - 1);
      const y = Math.min(Math.max(((points[2 * i + 1] + 1) * image.height - 1) / 2, 0), image.height - 1);
      const left = Math.min(Math.floor(x), Math.max(image.width - 2, 0)), top = Math.min(Math.floor(y), Math.max(image.height - 2, 0));
      const s = x - left, t = y - top, at = top * image.width + left;
      const right = image.width > 1 ? 1 : 0, below = image.height > 1 ? image.width : 0;
      for (let channel = 0; channel < channels; channel++) {
        const j = channel * size + at;
        read[channel * count + i] = (1 - t) * ((1 - s) * values[j] + s * values[j + right]) +
          t * ((1 - s) * values[j + below] + s * values[j + below + right]);
      }
    }
    return { channels, height, width, values: read };
  }

  const negated = (gamma) => Array.from(gamma, (value) => -value);

  // T_gamma(image), or T_-gamma(image) if `inverse`, at the image's size or with `side` x `side` pixels.
  function warp(transformation, image, gamma, { inverse = false, side = null } = {}) {
    const height = side ?? image.height, width = side ?? image.width;
    const points = transformation.apply(inverse ? negated(gamma) : Array.from(gamma), pixelGrid(height, width));
    return resample(image, points, height, width);
  }

  const named = (name) => {
    if (name === "affine") return new Affine();
    const cells = /^cpab(?:-(\d+)x(\d+))?$/.exec(name);
    if (!cells) throw new Error(`unknown transformation '${name}'`);
    return new Cpab(Number(cells[1] ?? 2), Number(cells[2] ?? 4));
  };

  Object.assign(vitae, { Affine, Cpab, pixelGrid, resample, warp, transformationNamed: named, negated });
})();
