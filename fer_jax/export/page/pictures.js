"use strict";
// From any picture to the bytes that the network is shown: what fer_jax.data.fit_image does in Python, in the
// arithmetic of Pillow's resampling (Lanczos with three lobes, 22 bits behind the point), so that both see the same.

const FRACTION_BITS = 22;

function lanczos(x) {
  if (x <= -3 || x >= 3) return 0;
  if (x === 0) return 1;
  const a = Math.PI * x, b = a / 3;
  return (Math.sin(a) / a) * (Math.sin(b) / b);
}

/** For each output pixel the first input pixel that it is made of, and the integer weights from there on. */
function weightsOf(size, start, end, outSize) {
  const scale = Math.fround(end - start) / outSize, filterScale = Math.max(1, scale);
  const support = 3 * filterScale, shrink = 1 / filterScale;
  const found = [];
  for (let out = 0; out < outSize; out++) {
    const centre = start + (out + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const last = Math.min(size, Math.trunc(centre + support + 0.5));
    const raw = [];
    let sum = 0;
    for (let place = first; place < last; place++) {
      const weight = lanczos((place - centre + 0.5) * shrink);
      raw.push(weight);
      sum += weight;
    }
    const fixed = raw.map((weight) => {
      const value = (sum ? weight / sum : weight) * (1 << FRACTION_BITS);
      return Math.trunc(value < 0 ? value - 0.5 : value + 0.5);
    });
    found.push({ first, fixed });
  }
  return found;
}

function clipped(sum) {
  const value = Math.floor(sum / (1 << FRACTION_BITS));
  return value < 0 ? 0 : value > 255 ? 255 : value;
}

/** A picture is {width, height, channels, data}: bytes, row by row, the channels of a pixel together. */
function makePicture(width, height, channels, data) {
  return { width, height, channels, data: data || new Uint8Array(width * height * channels) };
}

/** Scales the part [left, top, right, bottom] of a picture, along rows first. */
function resized(picture, width, height, box) {
  const { channels, data } = picture;
  // Pillow keeps the part in single precision.
  const [left, top, right, bottom] = box.map(Math.fround);
  let wide = picture;
  if (width !== picture.width || left || right !== width) {
    wide = makePicture(width, picture.height, channels);
    const weights = weightsOf(picture.width, left, right, width);
    for (let y = 0; y < picture.height; y++) {
      for (let x = 0; x < width; x++) {
        const { first, fixed } = weights[x];
        for (let c = 0; c < channels; c++) {
          let sum = 1 << (FRACTION_BITS - 1);
          for (let k = 0; k < fixed.length; k++) {
            sum += data[(y * picture.width + first + k) * channels + c] * fixed[k];
          }
          wide.data[(y * width + x) * channels + c] = clipped(sum);
        }
      }
    }
  }
  if (height === picture.height && !top && bottom === height) return wide;
  const result = makePicture(width, height, channels);
  const weights = weightsOf(picture.height, top, bottom, height);
  for (let y = 0; y < height; y++) {
    const { first, fixed } = weights[y];
    for (let place = 0; place < width * channels; place++) {
      let sum = 1 << (FRACTION_BITS - 1);
      for (let k = 0; k < fixed.length; k++) sum += wide.data[(first + k) * width * channels + place] * fixed[k];
      result.data[y * width * channels + place] = clipped(sum);
    }
  }
  return result;
}

/** The middle of a picture that has the shape asked for, scaled to it. */
function fitted(picture, width, height) {
  const shape = picture.width / picture.height, wanted = width / height;
  let cutWidth = picture.width, cutHeight = picture.height;
  if (shape !== wanted) {
    if (shape >= wanted) cutWidth = wanted * picture.height;
    else cutHeight = picture.width / wanted;
  }
  const left = (picture.width - cutWidth) * 0.5, top = (picture.height - cutHeight) * 0.5;
  return resized(picture, width, height, [left, top, left + cutWidth, top + cutHeight]);
}

/** From a canvas's RGBA to RGB over white, or to gray as Pillow weighs it. */
function withoutAlpha(image, channels) {
  const count = image.width * image.height, rgba = image.data;
  const result = makePicture(image.width, image.height, channels);
  const over = (value, alpha) => Math.floor((value * alpha + 255 * (255 - alpha)) / 255 + 0.5);
  for (let place = 0; place < count; place++) {
    const alpha = rgba[4 * place + 3];
    const [r, g, b] = [0, 1, 2].map((c) => (alpha === 255 ? rgba[4 * place + c] : over(rgba[4 * place + c], alpha)));
    if (channels === 1) result.data[place] = (19595 * r + 38470 * g + 7471 * b + 32768) >> 16;
    else result.data.set([r, g, b], 3 * place);
  }
  return result;
}

/** `fit_image`: what a canvas shows -> the pixels for an input of [height, width, channels]. */
function fitImage(image, [height, width, channels]) {
  return fitted(withoutAlpha(image, channels), width, height).data;
}
