// The page builds itself from GET /model: a canvas to draw on for 28x28 grey, else a picture to choose.

import { call, post } from "../service.js";
import { DigitCanvas } from "./digit_canvas.js";

const WAIT_MS = 300; // after a stroke: a digit of two strokes is asked about once, not twice
const BARS_MAX = 12; // classes shown in their own order; of more, the likeliest
const $ = (id) => document.getElementById(id);

let model, digit, timer, answer;
let asked = 0; // answers that arrive late, after a newer question, are not shown

async function start() {
  model = await call("model");
  document.title = model.name;
  $("project").textContent = model.name;
  showModel(model.version);
  const { height, width, channels } = model.image;
  if (height === 28 && width === 28 && channels === 1) {
    digit = new DigitCanvas($("drawing"), strokeChanged);
    $("keys").classList.add("keys");
    $("keys").textContent = "With the keyboard: arrow keys move the pen, space puts it down and lifts it.";
  } else {
    $("drawing").hidden = true;
    $("keys").textContent = `The network works on ${width} × ${height} pixels${channels === 1 ? ", in grey" : ""}.`;
  }
  for (const name of model.classes) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.addEventListener("click", () => sendFeedback(name));
    $("choice").append(button);
  }
  reset();
}

function showModel(version) {
  $("model").textContent = version === model.version ? `v${version} · ${model.sha256.slice(0, 8)}` : `v${version}`;
  $("model").title = `Model ${model.name}, version ${version}`;
}

function reset() {
  clearTimeout(timer);
  asked++;
  answer = null;
  digit?.clear();
  $("upload").hidden = true;
  $("drawing").hidden = !digit;
  $("hint").hidden = false;
  $("hint").textContent = digit ? "Draw here" : "Choose, drop or paste a PNG or JPEG";
  $("label").textContent = "–";
  $("label").className = "label";
  $("confidence").textContent = "Nothing to answer yet.";
  $("error").hidden = $("feedback").hidden = true;
  const { width, height } = model.image;
  Object.assign($("seen"), { width, height });
  showBars({});
}

function strokeChanged(more) {
  clearTimeout(timer);
  $("hint").hidden = true;
  if (!more) timer = setTimeout(askAboutDrawing, WAIT_MS);
}

function askAboutDrawing() {
  const pixels = digit.pixels();
  const context = $("seen").getContext("2d");
  const image = context.createImageData(28, 28);
  pixels.flat().forEach((value, i) => image.data.set([value, value, value, 255], i * 4));
  context.putImageData(image, 0, 0);
  $("seen-caption").textContent = "What the network sees";
  return ask(() => post("predict", { pixels }));
}

async function askAboutFile(file) {
  if (!file) return;
  reset();
  const picture = $("upload");
  const shown = (picture.src = URL.createObjectURL(file));
  picture.hidden = false;
  $("drawing").hidden = $("hint").hidden = true;
  picture.decode().then(() => showFitted(picture), () => {
    if (picture.src === shown && !picture.hidden) cannotShow(file); // else another one was chosen meanwhile
  });
  await ask(() => call("predict", { method: "POST", headers: { "content-type": file.type }, body: file }));
}

function cannotShow(file) {
  $("upload").hidden = true;
  $("hint").hidden = false;
  $("hint").textContent = `${file.name} cannot be shown`;
}

// About what the service makes of the picture: shrunk without distortion, padded like its corner.
function showFitted(picture) {
  const seen = $("seen");
  const context = seen.getContext("2d");
  const scale = Math.min(seen.width / picture.naturalWidth, seen.height / picture.naturalHeight);
  const [width, height] = [picture.naturalWidth * scale, picture.naturalHeight * scale];
  context.imageSmoothingQuality = "high";
  context.filter = model.image.channels === 1 ? "grayscale(1)" : "none";
  context.drawImage(picture, 0, 0, 1, 1, 0, 0, seen.width, seen.height);
  context.drawImage(picture, (seen.width - width) / 2, (seen.height - height) / 2, width, height);
  context.filter = "none";
  $("seen-caption").textContent = "About what the network sees";
}

async function ask(send) {
  const mine = ++asked;
  const began = performance.now();
  $("error").hidden = true;
  try {
    const found = await send();
    if (mine === asked) show(found, performance.now() - began);
  } catch (error) {
    if (mine === asked) fail(error);
  }
}

function show(found, milliseconds) {
  answer = found;
  const share = found.probabilities[found.label];
  $("label").textContent = found.label;
  $("label").className = found.label.length > 3 ? "label long" : "label";
  $("confidence").textContent = `${percent(share)} sure · ${milliseconds.toFixed(0)} ms`;
  showModel(found.model.version);
  showBars(found.probabilities, found.label);
  for (const id of ["feedback", "question", "verdict"]) $(id).hidden = false;
  $("choice").hidden = true;
  $("right").textContent = `Yes, ${found.label}`;
  $("thanks").textContent = "";
  for (const button of $("feedback").querySelectorAll("button")) button.disabled = false;
  for (const button of $("choice").children) button.hidden = button.textContent === found.label;
}

function showBars(shares, best) {
  let names = model.classes;
  if (names.length > BARS_MAX) {
    names = [...names].sort((a, b) => (shares[b] ?? 0) - (shares[a] ?? 0)).slice(0, BARS_MAX);
  }
  $("bars").replaceChildren(...names.map((name) => bar(name, shares[name], name === best)));
}

function bar(name, share, best) {
  const item = document.createElement("li");
  item.classList.toggle("best", best);
  const [text, track, fill, value] = ["span", "span", "span", "span"].map((tag) => document.createElement(tag));
  text.textContent = name;
  track.className = "track";
  fill.className = "fill";
  value.className = "share";
  value.textContent = share === undefined ? "" : percent(share);
  fill.style.width = `${(share ?? 0) * 100}%`;
  track.append(fill);
  item.append(text, track, value);
  return item;
}

function percent(share) {
  return share > 0.9995 && share < 1 ? "> 99.9 %" : `${(share * 100).toFixed(1)} %`;
}

function fail(error) {
  answer = null;
  $("label").textContent = "–";
  $("confidence").textContent = "No answer.";
  $("feedback").hidden = true;
  showBars({});
  $("error").textContent = error.message;
  $("error").hidden = false;
}

async function sendFeedback(label) {
  for (const button of $("feedback").querySelectorAll("button")) button.disabled = true;
  try {
    const stored = await post("feedback", { prediction_id: answer.prediction_id, label });
    for (const id of ["question", "verdict", "choice"]) $(id).hidden = true;
    $("thanks").textContent = stored.agrees ? "Thank you, stored as right." : `Thank you, stored as ${label}.`;
  } catch (error) {
    $("thanks").textContent = error.message;
    for (const button of $("feedback").querySelectorAll("button")) button.disabled = false;
  }
}

$("clear").addEventListener("click", () => {
  reset();
  $("drawing").focus();
});
$("file").addEventListener("change", (event) => {
  askAboutFile(event.target.files[0]);
  event.target.value = "";
});
$("right").addEventListener("click", () => sendFeedback(answer.label));
$("wrong").addEventListener("click", () => {
  $("choice").hidden = false;
  $("choice").querySelector("button:not([hidden])").focus();
});
document.addEventListener("paste", (event) => askAboutFile(event.clipboardData.files[0]));
$("pad").addEventListener("dragover", (event) => event.preventDefault());
$("pad").addEventListener("drop", (event) => {
  event.preventDefault();
  askAboutFile(event.dataTransfer.files[0]);
});

start().catch(fail);
