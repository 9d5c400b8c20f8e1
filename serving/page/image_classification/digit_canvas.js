// Drawing with mouse, finger or keyboard, and turning strokes into a picture as MNIST has them.

const BOX = 20; // pixels of the 28 that the drawing fills, as in MNIST
const PEN = 2.3; // thickness of a stroke in those pixels, whatever the size of the drawing
const OVERSAMPLE = 8; // the picture is drawn so much larger, then averaged: soft edges
const STEP = 0.02; // how far an arrow key moves the pen, as a share of the canvas

export class DigitCanvas {
  // onChange is called when a stroke begins (true: more will come) and when it ends (false).
  constructor(canvas, onChange) {
    this.canvas = canvas;
    this.onChange = onChange;
    this.strokes = []; // of points [x, y] in [0, 1]
    this.pen = null; // where the keyboard's pen is
    this.penDown = false;
    canvas.addEventListener("pointerdown", (event) => this.begin(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => this.end(event));
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("blur", () => this.liftPen());
    new ResizeObserver(() => this.render()).observe(canvas);
  }

  get empty() {
    return this.strokes.length === 0;
  }

  clear() {
    this.strokes = [];
    this.penDown = false;
    this.pen = null;
    this.render();
  }

  point(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }

  begin(event) {
    if (event.button) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.pointer = event.pointerId;
    this.pen = null;
    this.strokes.push([this.point(event)]);
    this.onChange(true);
    this.render();
  }

  move(event) {
    if (event.pointerId !== this.pointer) return;
    const moves = event.getCoalescedEvents?.() ?? [];
    this.strokes.at(-1).push(...(moves.length ? moves : [event]).map((e) => this.point(e)));
    this.render();
  }

  end(event) {
    if (event.pointerId !== this.pointer) return;
    this.pointer = null;
    this.onChange(false);
  }

  key(event) {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key === " ") {
      this.pen ??= [0.5, 0.5];
      if (this.penDown) {
        this.liftPen();
      } else {
        this.penDown = true;
        this.strokes.push([[...this.pen]]);
        this.onChange(true);
      }
    } else if (event.key in moves) {
      this.pen ??= [0.5, 0.5];
      this.pen = this.pen.map((v, i) => Math.min(1, Math.max(0, v + moves[event.key][i] * STEP)));
      if (this.penDown) this.strokes.at(-1).push([...this.pen]);
    } else {
      return;
    }
    event.preventDefault();
    this.render();
  }

  liftPen() {
    if (this.penDown) {
      this.penDown = false;
      this.onChange(false);
      this.render();
    }
  }

  render() {
    const size = Math.round(this.canvas.clientWidth * devicePixelRatio);
    if (!size) return;
    if (this.canvas.width !== size) this.canvas.width = this.canvas.height = size;
    const context = this.canvas.getContext("2d");
    context.clearRect(0, 0, size, size);
    draw(context, this.strokes, (p) => [p[0] * size, p[1] * size], size * 0.075);
    if (this.pen) {
      context.strokeStyle = this.penDown ? "#ffd43b" : "#748ffc";
      context.lineWidth = size / 140;
      context.beginPath();
      context.arc(this.pen[0] * size, this.pen[1] * size, size * 0.045, 0, 7);
      context.stroke();
    }
  }

  // Rows of brightness 0..255, size x size: the strokes fill a box of 20 pixels, their centre of
  // mass lies in the middle.
  pixels(size = 28) {
    const points = this.strokes.flat();
    const low = [0, 1].map((i) => Math.min(...points.map((p) => p[i])));
    const high = [0, 1].map((i) => Math.max(...points.map((p) => p[i])));
    const extent = Math.max(high[0] - low[0], high[1] - low[1], 0.1); // a dot stays a dot
    const scale = (BOX - PEN) / extent;
    const middle = [0, 1].map((i) => (low[i] + high[i]) / 2);
    const large = document.createElement("canvas");
    large.width = large.height = size * OVERSAMPLE;
    const context = large.getContext("2d", { willReadFrequently: true });
    const place = (p) => [0, 1].map((i) => ((p[i] - middle[i]) * scale + size / 2) * OVERSAMPLE);
    draw(context, this.strokes, place, PEN * OVERSAMPLE);
    const centred = centre(average(context, size), size);
    return Array.from({ length: size }, (_, y) => centred.slice(y * size, (y + 1) * size));
  }
}

function draw(context, strokes, place, width) {
  context.strokeStyle = "#fff";
  context.lineWidth = width;
  context.lineCap = context.lineJoin = "round";
  for (const stroke of strokes) {
    context.beginPath();
    context.moveTo(...place(stroke[0]));
    for (const point of stroke.length > 1 ? stroke.slice(1) : stroke) context.lineTo(...place(point));
    context.stroke();
  }
}

function average(context, size) {
  const side = size * OVERSAMPLE;
  const { data } = context.getImageData(0, 0, side, side);
  const sums = new Array(size * size).fill(0);
  for (let y = 0; y < side; y++) {
    const row = Math.floor(y / OVERSAMPLE) * size;
    for (let x = 0; x < side; x++) sums[row + Math.floor(x / OVERSAMPLE)] += data[(y * side + x) * 4 + 3];
  }
  return sums.map((sum) => Math.round(sum / OVERSAMPLE ** 2));
}

// Moves the picture by whole pixels, so that its centre of mass is at (size / 2, size / 2).
function centre(values, size) {
  let mass = 0, x = 0, y = 0;
  values.forEach((value, i) => {
    mass += value;
    x += value * (i % size);
    y += value * Math.floor(i / size);
  });
  if (!mass) return values;
  const [dx, dy] = [Math.round(size / 2 - x / mass), Math.round(size / 2 - y / mass)];
  return values.map((_, i) => {
    const [fromX, fromY] = [(i % size) - dx, Math.floor(i / size) - dy];
    const inside = fromX >= 0 && fromX < size && fromY >= 0 && fromY < size;
    return inside ? values[fromY * size + fromX] : 0;
  });
}
