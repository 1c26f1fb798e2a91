"use strict";
// Making of a picture of one digit what MNIST's are, as fer_jax.predict.digits does in Python: white on black, 20 pixels
// high or wide, its centre of mass in the middle.

const SIDE = 28, BOX = 20, LEAST_CONTRAST = 32, LONGEST_SIDE = 1024, SPECK = 0.05, OFF_CENTRE = 0.75, LEAST_LIGHT = 64, OF_THE_RIM = 0.8;

/** Half-way numbers go to the even neighbour, as Python and NumPy have it. */
function toEven(value) {
  const floor = Math.floor(value), rest = value - floor;
  return rest < 0.5 || (rest === 0.5 && floor % 2 === 0) ? floor : floor + 1;
}

function median(values) {
  const sorted = Float64Array.from(values).sort(), middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Between the classes of Otsu 1979, for each level up to which a pixel is dark, and the whole; both times n^2. */
function variances(gray) {
  const counts = new Float64Array(256);
  for (const value of gray) counts[value]++;
  const below = new Float64Array(256), mass = new Float64Array(256);
  let count = 0, sum = 0, squares = 0;
  for (let level = 0; level < 256; level++) {
    below[level] = count += counts[level];
    mass[level] = sum += counts[level] * level;
    squares += counts[level] * level * level;
  }
  const between = Array.from(below, (under, level) => {
    const above = count - under, apart = sum * under - count * mass[level];
    return under && above ? (apart * apart) / (under * above) : -1;
  });
  return { between, whole: count * squares - sum * sum };
}

/** The gray level up to which a pixel is dark: it parts the two classes best. */
function otsu(gray) {
  const { between } = variances(gray);
  const most = Math.max(...between);
  const best = between.flatMap((value, level) => (value >= most * (1 - 1e-12) ? [level] : []));
  return best[best.length >> 1];
}

/** How much of the variance is between the two classes. */
function parted(gray) {
  const { between, whole } = variances(gray);
  return Math.max(...between) / whole;
}

function contrast(gray) {
  let [least, most] = [255, 0];
  for (const value of gray) [least, most] = [Math.min(least, value), Math.max(most, value)];
  return most - least;
}

/** How wide the rim of a picture is: a twentieth of the shorter side. */
const edgeOf = ({ width, height }) => Math.max(1, Math.floor(Math.min(width, height) / 20));

/** The outermost pixels. */
function rim({ width, height, data }) {
  const edge = edgeOf({ width, height }), found = [];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (y < edge || x < edge || y >= height - edge || x >= width - edge) found.push(data[y * width + x]);
    }
  }
  return found;
}

const isInverted = (gray) => median(rim(gray)) > otsu(gray.data);

/** Whether the centre of mass of a light digit on dark ground is where MNIST's are. */
function isFramed(light) {
  const level = otsu(light), ground = median(light.filter((value) => value <= level));
  let [sum, sumX, sumY] = [0, 0, 0];
  light.forEach((value, place) => {
    const mass = Math.max(0, value - ground);
    sum += mass;
    sumX += mass * (place % SIDE);
    sumY += mass * Math.floor(place / SIDE);
  });
  return [sumX / sum, sumY / sum].every((mean) => Math.abs(mean - SIDE / 2) <= OFF_CENTRE);
}

/** What the ground may be where light falls off; where most of the rim is far from it, it was fitted to strokes. */
function grounds(gray) {
  const { width, height } = gray, seen = rim(gray);
  return fittedGrounds(gray).filter((ground) => {
    const near = rim({ width, height, data: ground }).filter((value, at) => Math.abs(seen[at] - value) < LEAST_CONTRAST);
    return near.length / seen.length >= OF_THE_RIM;
  });
}

/** A plane by the medians of the sides, and a curved one by those of their middles and of the corners. */
function fittedGrounds({ width, height, data }) {
  const edge = edgeOf({ width, height }), found = [];
  const part = (x0, x1, y0, y1) => {
    const values = [];
    for (let y = y0; y < y1; y++) for (let x = x0; x < x1; x++) values.push(data[y * width + x]);
    return median(values);
  };
  const sides = (x0, x1, y0, y1) => [
    part(x0, x1, 0, edge), part(x0, x1, height - edge, height), part(0, edge, y0, y1), part(width - edge, width, y0, y1),
  ];
  // From -1 to 1 between the middles of the rim.
  const from = (place, length) => (place - (length - 1) / 2) / ((length - edge) / 2);
  const add = (valueAt) => found.push(Float64Array.from(data, (_, place) => {
    const x = from(place % width, width), y = from(Math.floor(place / width), height);
    return Math.min(255, Math.max(0, valueAt(x, y)));
  }));
  {
    const [top, bottom, left, right] = sides(0, width, 0, height);
    if (Math.max(Math.abs(bottom - top), Math.abs(right - left)) >= LEAST_CONTRAST) {
      add((x, y) => (top + bottom + left + right) / 4 + (((right - left) / 2) * x + ((bottom - top) / 2) * y));
    }
  }
  const third = (length) => [Math.floor(length / 3), length - Math.floor(length / 3)];
  const middles = sides(...third(width), ...third(height)), [w, h] = [width - 2 * edge, height - 2 * edge];
  const corners = [part(0, 2 * edge, 0, 2 * edge), part(w, width, 0, 2 * edge), part(0, 2 * edge, h, height), part(w, width, h, height)];
  if (Math.max(...middles, ...corners) - Math.min(...middles, ...corners) >= LEAST_CONTRAST) {
    const [top, bottom, left, right] = middles, corner = corners.reduce((sum, value) => sum + value) / 4;
    const upright = (top + bottom) / 2, level = (left + right) / 2;
    const twist = (corners[0] - corners[1] - corners[2] + corners[3]) / 4;
    add((x, y) => {
      const straight = ((right - left) / 2) * x + ((bottom - top) / 2) * y;
      const bent = (corner - upright) * (x * x) + (corner - level) * (y * y) + twist * (x * y);
      return upright + level - corner + straight + bent;
    });
  }
  return found;
}

/** A picture as on level ground, light on dark; light multiplies what is on paper. */
function evened({ width, height, data }, ground) {
  const byte = (value) => toEven(Math.min(255, Math.max(0, value)));
  const apart = data.map((value, place) => byte(128 + (value - ground[place]) / 2));
  if (2 * contrast(apart) < LEAST_CONTRAST) return { light: new Uint8Array(data.length), inverted: false };
  const inverted = isInverted({ width, height, data: apart });
  const light = data.map((value, place) => {
    const [bright, dark] = inverted ? [255 - value, 255 - ground[place]] : [value, ground[place]];
    return byte(((bright - dark) * 255) / Math.max(255 - dark, LEAST_LIGHT));
  });
  return { light, inverted };
}

/** The strokes without spots of less than a twentieth of the largest one's pixels; spots touch at corners too. */
function withoutSpecks(strokes, width, height) {
  const labels = new Int32Array(strokes.length), sizes = [0];
  for (let start = 0; start < strokes.length; start++) {
    if (!strokes[start] || labels[start]) continue;
    const label = sizes.length, waiting = [start];
    sizes.push(0);
    labels[start] = label;
    while (waiting.length) {
      const place = waiting.pop(), x = place % width, y = (place - x) / width;
      sizes[label]++;
      for (let ny = Math.max(0, y - 1); ny <= Math.min(height - 1, y + 1); ny++) {
        for (let nx = Math.max(0, x - 1); nx <= Math.min(width - 1, x + 1); nx++) {
          const near = ny * width + nx;
          if (strokes[near] && !labels[near]) {
            labels[near] = label;
            waiting.push(near);
          }
        }
      }
    }
  }
  const least = SPECK * Math.max(...sizes);
  return strokes.map((stroke, place) => (stroke && sizes[labels[place]] >= least ? 1 : 0));
}

/** The squared distance of each pixel to the nearest stroke (Felzenszwalb and Huttenlocher 2012), along one axis. */
function distances(line) {
  const count = line.length, result = new Float64Array(count);
  const places = new Int32Array(count), bounds = new Float64Array(count + 1);
  let last = -1;
  for (let q = 0; q < count; q++) {
    if (line[q] === Infinity) continue;
    let cross = -Infinity;
    while (last >= 0) {
      const v = places[last];
      cross = (line[q] + q * q - line[v] - v * v) / (2 * (q - v));
      if (cross > bounds[last]) break;
      last--;
    }
    last++;
    places[last] = q;
    bounds[last] = last ? cross : -Infinity;
    bounds[last + 1] = Infinity;
  }
  if (last < 0) return result.fill(Infinity);
  for (let q = 0, k = 0; q < count; q++) {
    while (bounds[k + 1] < q) k++;
    result[q] = (q - places[k]) ** 2 + line[places[k]];
  }
  return result;
}

function squaredDistances(strokes, width, height) {
  const found = Float64Array.from(strokes, (stroke) => (stroke ? 0 : Infinity));
  for (let x = 0; x < width; x++) {
    const column = distances(Float64Array.from({ length: height }, (_, y) => found[y * width + x]));
    column.forEach((value, y) => (found[y * width + x] = value));
  }
  for (let y = 0; y < height; y++) {
    found.set(distances(found.slice(y * width, (y + 1) * width)), y * width);
  }
  return found;
}

function centred({ width, height, data }) {
  const level = otsu(data);
  const ground = median(data.filter((value) => value <= level));
  const ink = median(data.filter((value) => value > level));
  const strokes = withoutSpecks(Uint8Array.from(data, (value) => (value > (ground + ink) / 2 ? 1 : 0)), width, height);
  let [left, top, right, bottom] = [width, height, -1, -1];
  strokes.forEach((stroke, place) => {
    if (!stroke) return;
    const x = place % width, y = Math.floor(place / width);
    [left, right, top, bottom] = [Math.min(left, x), Math.max(right, x), Math.min(top, y), Math.max(bottom, y)];
  });
  const [w, h] = [right - left + 1, bottom - top + 1];
  const part = (whole) => Uint8Array.from({ length: w * h }, (_, at) => whole[(top + Math.floor(at / w)) * width + left + (at % w)]);
  const light = part(data), inside = part(strokes);
  const scale = BOX / Math.max(w, h), reach = Math.max(1, 1 / scale) ** 2;
  const far = squaredDistances(inside, w, h);
  // Paper is never quite even: beyond a pixel of the result around the strokes it counts as black.
  const cut = light.map((value, place) => {
    const stretched = Math.min(1, Math.max(0, (value - ground) / (ink - ground)));
    return far[place] <= reach ? toEven(255 * stretched) : 0;
  });
  const small = fitted(makePicture(w, h, 1, cut), Math.max(1, toEven(w * scale)), Math.max(1, toEven(h * scale)));
  let [sum, sumX, sumY] = [0, 0, 0];
  small.data.forEach((value, place) => {
    sum += value;
    sumX += value * (place % small.width);
    sumY += value * Math.floor(place / small.width);
  });
  const at = (mean, size) => Math.min(SIDE - size, Math.max(0, toEven(SIDE / 2 - mean)));
  const x0 = at(sumX / sum, small.width), y0 = at(sumY / sum, small.height);
  const result = new Uint8Array(SIDE * SIDE);
  for (let y = 0; y < small.height; y++) {
    result.set(small.data.subarray(y * small.width, (y + 1) * small.width), (y0 + y) * SIDE + x0);
  }
  return result;
}

/** What a canvas shows -> 28x28 bytes, or null where there is no ink; whether it was dark on light, too. */
function frameDigit(image) {
  let gray = withoutAlpha(image, 1);
  const scale = Math.min(1, LONGEST_SIDE / Math.max(gray.width, gray.height));
  const [width, height] = [gray.width, gray.height].map((length) => Math.max(1, toEven(scale * length)));
  if (scale < 1) gray = fitted(gray, width, height);
  if (contrast(gray.data) < LEAST_CONTRAST) return null;
  let inverted = isInverted(gray);
  let light = inverted ? gray.data.map((value) => 255 - value) : gray.data;
  if (width === SIDE && height === SIDE && isFramed(light)) return { pixels: light, inverted };
  let best = parted(gray.data);
  for (const ground of grounds(gray)) {
    const even = evened(gray, ground);
    if (contrast(even.light) < LEAST_CONTRAST) return null;
    if (parted(even.light) > best) ({ light, inverted, best } = { ...even, best: parted(even.light) });
  }
  return { pixels: centred({ width, height, data: light }), inverted };
}
