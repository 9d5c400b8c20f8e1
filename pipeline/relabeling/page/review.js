// One label after the other: every decision is sent, and written, before the next one is shown.

const KEYS = [..."1234567890abcdefhijklmnopqrstvwxyz"]; // g and u have a meaning of their own
const PIXELS = 128; // pictures narrower than this are shown pixel by pixel
const $ = (id) => document.getElementById(id);

let items = [];
let classes = [];
let keys = new Map(); // key -> class
let place = 0;
let undoable = 0;
let busy = true; // while a picture loads or a decision is stored, nothing else is done
let seen = false; // whether the picture is there: nothing is decided unseen

async function call(path, options) {
  const response = await fetch(path, options).catch(() => {
    throw new Error("The command that serves this page has ended. What was decided is stored.");
  });
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.error ?? `The page's server answered ${response.status}.`);
  return body;
}

function post(path, value) {
  return call(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(value),
  });
}

async function start() {
  const state = await call("state");
  ({ items, classes, undoable } = state);
  document.title = `Labels of ${state.project}`;
  $("project").textContent = `Labels of ${state.project}`;
  keys = keysOf(classes);
  const keyOf = new Map([...keys].map(([key, name]) => [name, key]));
  $("classes").replaceChildren(...classes.map((name) => classButton(name, keyOf.get(name))));
  place = Math.max(0, items.findIndex((item) => item.label === null));
  await show();
}

// Where most classes are called like keys, as digits are, they have those; else one after the other, as far as they go.
function keysOf(names) {
  const own = names.filter((name) => KEYS.includes(name.toLowerCase()));
  if (own.length > names.length / 2) return new Map(own.map((name) => [name.toLowerCase(), name]));
  return new Map(names.slice(0, KEYS.length).map((name, i) => [KEYS[i], name]));
}

function classButton(name, key) {
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.label = name;
  button.append(name);
  if (key && key !== name) {
    const hint = document.createElement("kbd");
    hint.textContent = key.toUpperCase();
    button.append(" ", hint);
  }
  button.addEventListener("click", () => decide(name));
  return button;
}

async function show() {
  const item = items[place];
  seen = false;
  $("position").textContent = `${place + 1} of ${items.length}`;
  $("item").textContent = `${item.item_id} · rank ${item.rank} in the queue`;
  for (const id of ["given", "suggested"]) {
    $(id).textContent = item[id];
    $(id).className = item[id].length > 3 ? "label long" : "label";
  }
  $("score").textContent =
    `The audit gives the label ${item.given} a score of ${item.score.toFixed(4)}, between 0 (doubtful) and 1 (sound).`;
  showDecisions(item);
  const picture = new Image();
  picture.alt = `Item ${item.item_id}`;
  picture.src = `image?item_id=${encodeURIComponent(item.item_id)}`;
  $("picture").replaceChildren(picture);
  try {
    await picture.decode();
    picture.classList.toggle("pixels", picture.naturalWidth < PIXELS);
    seen = true;
  } catch {
    const refused = await fetch(picture.src).then((response) => response.json()).catch(() => ({}));
    throw new Error(refused.error ?? "The picture cannot be loaded. Has the command that serves this page ended?");
  }
}

function showDecisions(item) {
  const decided = items.filter((one) => one.label !== null).length;
  $("progress").max = items.length;
  $("progress").value = decided;
  $("decided").textContent = `${decided} decided`;
  $("undo").disabled = !undoable;
  $("keep").classList.toggle("chosen", item.label === item.given);
  $("accept").classList.toggle("chosen", item.label === item.suggested);
  for (const button of $("classes").children) {
    button.classList.toggle("chosen", button.dataset.label === item.label);
  }
}

async function doing(action) {
  if (!busy) await alone(action);
}

// Runs an action, nothing else meanwhile, and shows what went wrong with it.
async function alone(action) {
  busy = true;
  $("error").hidden = true;
  try {
    await action();
  } catch (error) {
    $("error").textContent = error.message;
    $("error").hidden = false;
  } finally {
    busy = false;
  }
}

function decide(label) {
  return doing(async () => {
    if (!seen) return;
    const item = items[place];
    await post("decide", { item_id: item.item_id, label });
    item.label = label;
    undoable++;
    const done = items.every((one) => one.label !== null);
    $("told").textContent = done
      ? "All are decided. End the command in the terminal; it says what to do next."
      : `${item.item_id} is ${label}${label === item.given ? ", as given" : ""}.`;
    if (done) showDecisions(item);
    else await go(1, (one) => one.label === null);
  });
}

function undo() {
  return doing(async () => {
    const { item_id, label } = await post("undo", {});
    undoable--;
    place = items.findIndex((item) => item.item_id === item_id);
    items[place].label = label;
    $("told").textContent = `${item_id} is undone.`;
    await show();
  });
}

// To the next place in that direction, round the end, that is wanted.
async function go(step, wanted = () => true) {
  const count = items.length;
  for (let i = 1; i < count; i++) {
    const next = (place + i * step + count) % count;
    if (wanted(items[next])) {
      place = next;
      break;
    }
  }
  await show();
}

const ACTIONS = {
  accept: () => decide(items[place].suggested),
  keep: () => decide(items[place].given),
  undo,
  skip: () => doing(() => go(1)),
  back: () => doing(() => go(-1)),
};
const NAMED = { Enter: "accept", " ": "accept", g: "keep", u: "undo", ArrowRight: "skip", ArrowLeft: "back" };

for (const [id, action] of Object.entries(ACTIONS)) $(id).addEventListener("click", action);

document.addEventListener("keydown", (event) => {
  // A key that is held down must not decide what nobody has looked at.
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  const pressed = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.target instanceof HTMLButtonElement && (pressed === "Enter" || pressed === " ")) return;
  if (NAMED[pressed]) ACTIONS[NAMED[pressed]]();
  else if (keys.has(pressed)) decide(keys.get(pressed));
  else return;
  event.preventDefault();
});
// A button that the mouse has pressed would take the next Enter for itself.
document.addEventListener("click", (event) => {
  if (event.detail > 0) event.target.closest("button")?.blur();
});

alone(start);
