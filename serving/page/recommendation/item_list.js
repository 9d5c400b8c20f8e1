// One list of recommended products. When a new answer comes, items slide to their new places.

import { element } from "./element.js";

const SLIDE_MS = 350;
const LEAST_FILL = 0.06; // of a bar, so that the last item's is seen

// Catalogues shout; people read small letters.
export function readable(name) {
  if (name !== name.toUpperCase()) return name;
  const small = name.toLowerCase();
  return small.charAt(0).toUpperCase() + small.slice(1);
}

// The same for names within a sentence.
function readableWithin(text) {
  return text.replace(/\b[A-Z][A-Z0-9 &%/.,'()-]*[A-Z]\b/g, (name) => name.toLowerCase());
}

// Shares of all that is sold are small, logits are not.
function shown(score) {
  return Math.abs(score) < 0.1 ? Number(score.toPrecision(2)).toString() : score.toFixed(2);
}

export class ItemList {
  // id: of the list's element, and what those of its badge and notes begin with; onAdd(item, answer)
  constructor(id, mode, find, onAdd) {
    this.mode = mode;
    this.list = find(id);
    this.badge = find(`${id}-by`);
    this.notes = find(`${id}-notes`);
    this.onAdd = onAdd;
    this.forget();
  }

  // What is shown next is another customer's: nothing moves.
  forget() {
    this.ranks = null;
  }

  // Nothing came for this customer; what another one was shown must not stay.
  clearForgotten() {
    if (this.ranks) return;
    this.list.replaceChildren();
    this.badge.textContent = "–";
    this.badge.title = "";
    this.notes.hidden = true;
  }

  // taken: products in the basket; that the items below one of them move up is not worth a mark.
  show(answer, milliseconds, taken) {
    this.badge.textContent = answer.served_by;
    this.badge.title = `Made by ${answer.served_by}; here after ${milliseconds.toFixed(0)} ms`;
    this.notes.hidden = !answer.notes.length && answer.items.length > 0;
    this.notes.textContent = answer.notes.map(sentence).join(" ") || "Nothing to recommend.";
    const before = this.places();
    const focused = document.activeElement?.closest("li")?.dataset.product;
    const held = this.list.contains(document.activeElement);
    const place = this.ranks?.get(focused) ?? 0;
    this.ranks &&= ranked([...this.ranks.keys()].filter((product) => !taken.has(product)));
    const scores = answer.items.map((item) => item.score);
    const [least, most] = [Math.min(...scores), Math.max(...scores)];
    this.list.replaceChildren(...answer.items.map((item, rank) => {
      const share = most > least ? (item.score - least) / (most - least) : 1;
      return this.row(item, rank, Math.max(LEAST_FILL, share), answer);
    }));
    if (held) this.keepFocus(focused, place);
    this.slide(before);
    this.ranks = ranked(answer.items.map((item) => String(item.product_id)));
  }

  row(item, rank, share, answer) {
    const fill = element("span", { className: "fill" });
    fill.style.width = `${share * 100}%`;
    const name = element("span", { className: "name" }, readable(item.name), ...this.move(item, rank));
    const button = element("button", { type: "button", ariaLabel: `Add ${readable(item.name)} to the basket` }, "Add");
    button.addEventListener("click", () => this.onAdd(item, answer));
    const row = element("li", {},
      element("span", { className: "rank" }, String(rank + 1)),
      name,
      button,
      element("span", { className: "reason" }, readableWithin(item.reason)),
      element("span", { className: "score", title: `Score ${item.score}` },
        element("span", { className: "track" }, fill), shown(item.score)));
    row.dataset.product = item.product_id;
    return row;
  }

  move(item, rank) {
    if (!this.ranks) return [];
    const earlier = this.ranks.get(String(item.product_id));
    if (earlier === undefined) return [element("span", { className: "move new" }, "new")];
    if (earlier === rank) return [];
    const [kind, sign, word] = earlier > rank ? ["up", "▲", "up"] : ["down", "▼", "down"];
    const places = Math.abs(earlier - rank);
    return [element("span", { className: `move ${kind}`, title: `${word} ${places}` }, `${sign} ${places}`)];
  }

  // The item that was put into the basket is gone; the keyboard goes on from where it was.
  keepFocus(product, place) {
    const same = [...this.list.children].find((row) => row.dataset.product === product);
    (same ?? this.list.children[Math.min(place, this.list.children.length - 1)])?.querySelector("button").focus();
  }

  places() {
    return new Map([...this.list.children].map((row) => [row.dataset.product, row.getBoundingClientRect().top]));
  }

  slide(before) {
    if (!this.ranks || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    for (const row of this.list.children) {
      const from = before.get(row.dataset.product);
      const by = from === undefined ? 0 : from - row.getBoundingClientRect().top;
      const start = from === undefined ? { opacity: 0 } : { transform: `translateY(${by}px)` };
      if (from === undefined || by) row.animate([start, {}], { duration: SLIDE_MS, easing: "ease-out" });
    }
  }
}

function ranked(products) {
  return new Map(products.map((product, rank) => [product, rank]));
}

function sentence(text) {
  const full = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(full) ? full : `${full}.`;
}
