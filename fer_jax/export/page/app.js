"use strict";
// The page: what is drawn or opened is framed, shown to the network, and the answer told as it goes.

const facts = JSON.parse(document.getElementById("facts").textContent);
const [HEIGHT, WIDTH, CHANNELS] = facts.image_shape;
const element = (id) => document.getElementById(id);

/** Bytes from base64; of what was packed with gzip too. */
async function bytesOf(id, packed) {
  const text = element(id).textContent.trim(), raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let place = 0; place < raw.length; place++) bytes[place] = raw.charCodeAt(place);
  if (!packed) return bytes;
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function start() {
  const program = URL.createObjectURL(new Blob([await bytesOf("runtime", true)], { type: "text/javascript" }));
  const ort = await import(program);
  // No other thread and no other file: pages from a disk may have neither.
  Object.assign(ort.env.wasm, { numThreads: 1, proxy: false, wasmBinary: (await bytesOf("wasm", true)).buffer });
  const session = await ort.InferenceSession.create(await bytesOf("network", true), { executionProviders: ["wasm"] });
  return { ort, session };
}

const started = start();
let queue = Promise.resolve();

/** Probabilities of uint8 images that lie one behind the other; one call after the other. */
function classify(pixels, count = 1) {
  const turn = queue.then(async () => {
    const { ort, session } = await started;
    const images = new ort.Tensor("uint8", pixels, [count, HEIGHT, WIDTH, CHANNELS]);
    const found = await session.run({ images });
    return found.probabilities.data;
  });
  queue = turn.catch(() => {});
  return turn;
}

/** What the network is shown of a canvas's pixels, or null where there is nothing. */
function framed(image) {
  if (facts.framing === "digits") return frameDigit(image)?.pixels ?? null;
  return fitImage(image, facts.image_shape);
}

/** How much less probable a class becomes when a square is covered: a mean for each pixel. */
async function occlusion(pixels, place, before, stopped) {
  const size = Math.max(4, Math.round(Math.min(HEIGHT, WIDTH) / 5)), stride = Math.max(1, Math.floor(size / 3));
  const cover = facts.framing === "digits" ? 0 : pixels.reduce((sum, value) => sum + value, 0) / pixels.length;
  const corners = [];
  for (let y = stride - size; y < HEIGHT; y += stride) for (let x = stride - size; x < WIDTH; x += stride) corners.push([x, y]);
  const drop = new Float64Array(HEIGHT * WIDTH), times = new Float64Array(HEIGHT * WIDTH), AT_ONCE = 32;
  for (let first = 0; first < corners.length; first += AT_ONCE) {
    if (stopped()) return null;
    const some = corners.slice(first, first + AT_ONCE), batch = new Uint8Array(some.length * pixels.length);
    const inside = (visit) => some.forEach(([x0, y0], index) => {
      for (let y = Math.max(0, y0); y < Math.min(HEIGHT, y0 + size); y++) {
        for (let x = Math.max(0, x0); x < Math.min(WIDTH, x0 + size); x++) visit(index, y * WIDTH + x);
      }
    });
    some.forEach((_, index) => batch.set(pixels, index * pixels.length));
    inside((index, at) => batch.fill(cover, index * pixels.length + at * CHANNELS, index * pixels.length + (at + 1) * CHANNELS));
    const found = await classify(batch, some.length);
    inside((index, at) => {
      drop[at] += before - found[index * facts.labels.length + place];
      times[at] += 1;
    });
  }
  return drop.map((value, at) => (times[at] ? value / times[at] : 0));
}

function percent(value) {
  return `${(100 * value).toFixed(1)} %`;
}

function showAnswer(probabilities) {
  const best = probabilities.indexOf(Math.max(...probabilities));
  element("label").textContent = `${facts.labels[best]}: ${percent(probabilities[best])}`;
  element("classes").replaceChildren(...facts.labels.map((name, place) => {
    const row = document.createElement("li"), bar = document.createElement("div"), number = document.createElement("span");
    bar.className = "bar";
    bar.style.width = `${100 * probabilities[place]}%`;
    bar.setAttribute("aria-hidden", "true");
    number.className = "number";
    number.textContent = percent(probabilities[place]);
    row.append(name, bar, number);
    return row;
  }));
  return best;
}

/** The pixels, with what the answer hangs on where it is known. */
function showSeen(pixels, drop) {
  const canvas = element("seen"), image = new ImageData(WIDTH, HEIGHT);
  [canvas.width, canvas.height] = [WIDTH, HEIGHT];
  const most = drop ? Math.max(...drop.map(Math.abs), 1e-6) : 1;
  for (let at = 0; at < WIDTH * HEIGHT; at++) {
    const strength = drop ? 0.75 * (drop[at] / most) : 0, colour = strength > 0 ? [220, 30, 30] : [30, 90, 220];
    for (let c = 0; c < 3; c++) {
      const value = pixels[at * CHANNELS + (CHANNELS === 3 ? c : 0)];
      image.data[4 * at + c] = value + Math.abs(strength) * (colour[c] - value);
    }
    image.data[4 * at + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

let turn = 0;

/** Answers what a canvas shows; what comes later counts. */
async function answer(image) {
  const own = ++turn, stopped = () => own !== turn, pixels = framed(image);
  if (!pixels) {
    element("label").textContent = "";
    element("classes").replaceChildren();
    showSeen(new Uint8Array(WIDTH * HEIGHT * CHANNELS));
    return null;
  }
  showSeen(pixels);
  const probabilities = await classify(pixels);
  if (stopped()) return null;
  const best = showAnswer(Array.from(probabilities));
  if (element("saliency").checked) {
    // After a pause: whoever is still drawing wants the answer first.
    await new Promise((done) => setTimeout(done, 250));
    const drop = stopped() ? null : await occlusion(pixels, best, probabilities[best], stopped);
    if (drop && !stopped()) showSeen(pixels, drop);
  }
  return best;
}

// Drawing.

const paper = element("paper"), ink = paper.getContext("2d", { willReadFrequently: true });
const STROKE = 20, STEP = 8;
let shown = null, pen = { x: 140, y: 60, down: false }, drawn = null;

function clearPaper() {
  ink.fillStyle = "#fff";
  ink.fillRect(0, 0, paper.width, paper.height);
  drawn = ink.getImageData(0, 0, paper.width, paper.height);
}

function stroke(from, to) {
  // The pen that the keyboard moves is on the canvas, and not in the drawing.
  ink.putImageData(drawn, 0, 0);
  Object.assign(ink, { lineWidth: STROKE, lineCap: "round", strokeStyle: "#000" });
  ink.beginPath();
  ink.moveTo(from.x, from.y);
  ink.lineTo(to.x + 0.01, to.y);
  ink.stroke();
  drawn = ink.getImageData(0, 0, paper.width, paper.height);
}

function showPen() {
  ink.putImageData(drawn, 0, 0);
  Object.assign(ink, { lineWidth: 2, strokeStyle: pen.down ? "#c00" : "#06c" });
  ink.beginPath();
  ink.arc(pen.x, pen.y, STROKE / 2, 0, 7);
  ink.stroke();
}

function redraw() {
  shown = () => drawn;
  element("chosen").hidden = true;
  answer(drawn);
}

function placeOn(canvas, event) {
  const box = canvas.getBoundingClientRect();
  return { x: ((event.clientX - box.left) / box.width) * canvas.width, y: ((event.clientY - box.top) / box.height) * canvas.height };
}

function listenToPaper() {
  let last = null;
  paper.addEventListener("pointerdown", (event) => {
    paper.setPointerCapture(event.pointerId);
    last = placeOn(paper, event);
    stroke(last, last);
    redraw();
  });
  paper.addEventListener("pointermove", (event) => {
    if (!last) return;
    const next = placeOn(paper, event);
    stroke(last, next);
    last = next;
    redraw();
  });
  for (const name of ["pointerup", "pointercancel"]) paper.addEventListener(name, () => (last = null));
  const moves = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
  paper.addEventListener("keydown", (event) => {
    const within = (value) => Math.min(270, Math.max(10, value));
    if (event.key in moves) {
      const [x, y] = moves[event.key], next = { x: within(pen.x + x), y: within(pen.y + y) };
      if (pen.down) stroke(pen, next);
      Object.assign(pen, next);
      if (pen.down) redraw();
    } else if (event.key === " ") {
      pen.down = !pen.down;
      if (pen.down) {
        stroke(pen, pen);
        redraw();
      }
    } else if (event.key === "Delete" || event.key === "Backspace") {
      pen.down = false;
      clearPaper();
      redraw();
    } else return;
    event.preventDefault();
    showPen();
  });
  paper.addEventListener("focus", () => paper.matches(":focus-visible") && showPen());
  paper.addEventListener("blur", () => ink.putImageData(drawn, 0, 0));
  element("clear").addEventListener("click", () => {
    clearPaper();
    redraw();
  });
}

// Pictures.

const picture = element("picture"), view = picture.getContext("2d", { willReadFrequently: true });
let opened = null, part = null;

/** A file's pixels, upright, as they stand in it. */
async function pixelsOf(file) {
  const options = { imageOrientation: "from-image", colorSpaceConversion: "none", premultiplyAlpha: "none" };
  const bitmap = await createImageBitmap(file, options);
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height), context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height);
}

function inPart() {
  if (facts.framing === "digits") return opened;
  const canvas = new OffscreenCanvas(opened.width, opened.height), context = canvas.getContext("2d");
  context.putImageData(opened, 0, 0);
  return context.getImageData(part.x, part.y, part.size, part.size);
}

function showPicture() {
  [picture.width, picture.height] = [opened.width, opened.height];
  picture.style.width = `${Math.min(420, opened.width)}px`;
  view.putImageData(opened, 0, 0);
  if (facts.framing !== "digits") {
    Object.assign(view, { strokeStyle: "#f50", lineWidth: Math.max(1, opened.width / 150) });
    view.strokeRect(part.x, part.y, part.size, part.size);
  }
}

function setPart(x, y, size) {
  const whole = Math.max(8, Math.min(Math.round(size), opened.width, opened.height));
  const within = (value, most) => Math.max(0, Math.min(Math.round(value), most - whole));
  part = { x: within(x, opened.width), y: within(y, opened.height), size: whole };
  showPicture();
  answer(inPart());
}

async function open(file) {
  try {
    opened = await pixelsOf(file);
  } catch {
    element("status").textContent = "This file is no picture that the browser can read: choose another.";
    return;
  }
  element("status").textContent = "";
  element("chosen").hidden = false;
  element("part-help").hidden = facts.framing === "digits";
  shown = inPart;
  const side = Math.min(opened.width, opened.height);
  setPart((opened.width - side) / 2, (opened.height - side) / 2, side);
}

function listenToPictures() {
  element("file").addEventListener("change", (event) => event.target.files[0] && open(event.target.files[0]));
  document.addEventListener("paste", (event) => event.clipboardData?.files[0] && open(event.clipboardData.files[0]));
  for (const name of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(name, (event) => {
      event.preventDefault();
      document.body.classList.toggle("over", name === "dragover");
      if (name === "drop" && event.dataTransfer.files[0]) open(event.dataTransfer.files[0]);
    });
  }
  if (facts.framing === "digits") return;
  let corner = null;
  picture.addEventListener("pointerdown", (event) => {
    picture.setPointerCapture(event.pointerId);
    corner = placeOn(picture, event);
  });
  picture.addEventListener("pointermove", (event) => {
    if (!corner) return;
    const other = placeOn(picture, event), size = Math.max(Math.abs(other.x - corner.x), Math.abs(other.y - corner.y));
    if (size >= 8) setPart(Math.min(corner.x, other.x), Math.min(corner.y, other.y), size);
  });
  for (const name of ["pointerup", "pointercancel"]) picture.addEventListener(name, () => (corner = null));
  picture.addEventListener("keydown", (event) => {
    const step = Math.max(1, Math.round(part.size / 20));
    const moves = { ArrowLeft: [-step, 0, 0], ArrowRight: [step, 0, 0], ArrowUp: [0, -step, 0], ArrowDown: [0, step, 0] };
    const sizes = { "+": [-step, -step, 2 * step], "=": [-step, -step, 2 * step], "-": [step, step, -2 * step] };
    const change = moves[event.key] || sizes[event.key];
    if (!change) return;
    event.preventDefault();
    setPart(part.x + change[0], part.y + change[1], part.size + change[2]);
  });
}

function showWords() {
  element("what").textContent = facts.what;
  element("give").textContent = facts.framing === "digits" ? "Draw a digit, or open a picture of one" : "Open a picture of a face";
  element("drawing").hidden = facts.framing !== "digits";
  element("stand-in").hidden = !facts.stand_in;
  element("stand-in").textContent = facts.stand_in;
  element("origin").textContent = facts.origin;
  for (const [title, sentences] of facts.words) {
    const head = document.createElement("h2"), list = document.createElement("ul");
    head.textContent = title;
    list.append(...sentences.map((sentence) => {
      const item = document.createElement("li");
      item.textContent = sentence;
      return item;
    }));
    element("words").append(head, list);
  }
}

showWords();
clearPaper();
listenToPaper();
listenToPictures();
element("saliency").addEventListener("change", () => shown && answer(shown()));
showSeen(new Uint8Array(WIDTH * HEIGHT * CHANNELS));
const ready = started.then(
  () => (element("status").textContent = ""),
  (error) => {
    element("status").textContent = `The network cannot be started in this browser (${error.message || error}): it needs WebAssembly and DecompressionStream, which browsers have had since 2023.`;
    throw error;
  },
);

/** For programs that test the page. */
globalThis.fer_jax = { facts, ready, classify, framed, fitImage, frameDigit, pixelsOf, open, answer };
