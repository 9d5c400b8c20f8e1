// A customer, what he bought, and both lists, which move as things are put into the basket.

import { call, post } from "../service.js";
import { ItemList, readable } from "./item_list.js";
import { element } from "./element.js";

const SHOWN = 10; // items of each list
const OFTEN = 8; // most frequent products shown
const BASKETS = 6; // latest baskets shown
const AT_ONCE = 8; // products of a basket shown; the others unfold
const KNOWN = 100; // customers that "Another customer" chooses from
const WAIT_MS = 150; // after a key in the product search
const $ = (id) => document.getElementById(id);

let model, customer = null; // null: a visitor whom nobody knows
let basket = []; // {product_id, name, prediction_id?}: the list that it was taken from, if it was
let known = []; // some customers
let asked = 0; // answers that arrive late, after a newer question, are not shown
let searched = 0;
let timer;

const lists = [
  new ItemList("again", "replenish", $, add),
  new ItemList("discover", "discover", $, add),
];

async function start() {
  model = await call("model");
  document.title = model.name;
  $("project").textContent = model.name;
  $("model").textContent = `v${model.version} · ${model.sha256.slice(0, 8)}`;
  $("model").title = `Model ${model.name}, version ${model.version}`;
  known = (await call(`customers?count=${KNOWN}`)).customers;
  $("customers").replaceChildren(...known.map((id) => element("option", { value: id })));
  const named = decodeURIComponent(location.hash.slice(1));
  await choose(named || String(known[0] ?? ""));
}

async function choose(id) {
  customer = id.trim() || null;
  basket = [];
  $("customer").value = customer ?? "";
  history.replaceState(null, "", customer === null ? location.pathname : `#${encodeURIComponent(customer)}`);
  for (const list of lists) list.forget();
  $("done").textContent = "";
  showBasket();
  await Promise.all([showHistory(), ask()]).catch(fail);
}

async function showHistory() {
  if (customer === null) {
    $("summary").textContent = "A visitor of whom nothing is known but the basket.";
    return showBought(null, "Nobody is named, so there is no history.");
  }
  const mine = customer;
  const found = await call(`customers/${encodeURIComponent(customer)}?count=20`);
  if (mine !== customer) return;
  const latest = found.baskets[0]?.day;
  $("summary").textContent = found.basket_count
    ? `${found.basket_count} baskets, the latest on ${latest}.`
    : found.known ? "Known, but has never bought anything." : "Unknown to the model.";
  showBought(found, found.basket_count ? "" : "No baskets.");
}

function showBought(found, instead) {
  $("unknown").hidden = !instead;
  $("unknown").textContent = instead;
  $("bought").hidden = Boolean(instead);
  if (instead) return;
  const most = found.products[0].baskets;
  $("often").replaceChildren(...found.products.slice(0, OFTEN).map((product) => {
    const fill = element("span", { className: "fill" });
    fill.style.width = `${(product.baskets / most) * 100}%`;
    return element("li", { title: `last on ${product.last}` },
      element("span", {}, readable(product.name)),
      element("span", { className: "small" }, `${product.baskets} ×`),
      element("span", { className: "track" }, fill));
  }));
  $("baskets").replaceChildren(...found.baskets.slice(0, BASKETS).map((one) =>
    element("li", {}, element("time", { dateTime: one.day }, one.day), ...basketOf(one.items.map(bought)))));
}

function basketOf(names) {
  if (names.length <= AT_ONCE) return [names.join(", ")];
  const rest = names.slice(AT_ONCE);
  return [`${names.slice(0, AT_ONCE).join(", ")}, `,
    element("details", {}, element("summary", {}, `and ${rest.length} more`), rest.join(", "))];
}

function bought(item) {
  return item.quantity > 1 ? `${readable(item.name)} × ${item.quantity}` : readable(item.name);
}

async function ask() {
  const mine = ++asked;
  $("error").hidden = true;
  const question = { basket: basket.map((item) => item.product_id), k: SHOWN };
  const taken = new Set(question.basket.map(String));
  if (customer !== null) question.customer_id = customer;
  await Promise.all(lists.map(async (list) => {
    const began = performance.now();
    const answer = await post("recommend", { ...question, mode: list.mode });
    if (mine === asked) list.show(answer, performance.now() - began, taken);
  })).catch((error) => {
    if (mine !== asked) return;
    for (const list of lists) list.clearForgotten();
    fail(error);
  });
}

// from: the answer that the item was in, none for one that was searched.
async function add(item, from) {
  if (basket.some((other) => other.product_id === item.product_id)) return;
  basket.push({ product_id: item.product_id, name: item.name, prediction_id: from?.prediction_id });
  showBasket();
  $("done").textContent = `${readable(item.name)} is in the basket.`;
  await tell([basket.at(-1)], "cart").catch(fail);
  await ask();
}

// Says what became of items: as feedback where a list held them, as events where the customer searched.
async function tell(items, event) {
  const fromLists = items.filter((item) => item.prediction_id);
  const searchedFor = items.filter((item) => !item.prediction_id);
  await Promise.all(fromLists.map(({ prediction_id, product_id }) =>
    post("feedback", { prediction_id, product_id, event })));
  if (customer !== null && searchedFor.length) {
    const events = searchedFor.map(({ product_id }) => ({ customer_id: customer, product_id, kind: event }));
    await post("events", { events });
  }
}

async function buy() {
  const bought = basket;
  $("buy").disabled = true;
  try {
    await tell(bought, "purchase");
  } catch (error) {
    showBasket();
    return fail(error);
  }
  basket = [];
  showBasket();
  $("done").textContent = `${count(bought.length)} bought. The service has stored it; the lists know of it.`;
  await Promise.all([showHistory(), ask()]).catch(fail);
}

function showBasket() {
  $("buy").disabled = !basket.length;
  $("buy").textContent = basket.length ? `Buy ${count(basket.length)}` : "Buy";
  $("empty").hidden = basket.length > 0;
  $("basket").replaceChildren(...basket.map((item) => {
    const remove = element("button", { type: "button", title: "Take out", ariaLabel: `Take out ${readable(item.name)}` }, "×");
    remove.addEventListener("click", () => {
      basket = basket.filter((other) => other !== item);
      showBasket();
      $("done").textContent = `${readable(item.name)} is out of the basket.`;
      $("search").focus();
      ask();
    });
    return element("li", {}, element("span", {}, readable(item.name)), remove);
  }));
}

function count(number) {
  return number === 1 ? "1 product" : `${number} products`;
}

async function search() {
  const text = $("search").value.trim();
  const mine = ++searched;
  if (!text) return closeSearch();
  const { products } = await call(`products?count=12&search=${encodeURIComponent(text)}`);
  if (mine !== searched) return;
  $("found").replaceChildren(...products.map((product) => {
    const button = element("button", { type: "button" }, readable(product.name));
    button.addEventListener("click", () => {
      $("search").value = "";
      closeSearch();
      $("search").focus();
      add(product);
    });
    return element("li", {}, button);
  }));
  if (!products.length) {
    $("found").replaceChildren(element("li", {}, element("p", { className: "small" }, "No product has such a name.")));
  }
  $("found").hidden = false;
}

function closeSearch() {
  searched++;
  $("found").hidden = true;
}

function moveInSearch(event) {
  if (event.key === "Escape") {
    closeSearch();
    $("search").focus();
    return;
  }
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const places = [$("search"), ...$("found").querySelectorAll("button")];
  const next = places[places.indexOf(document.activeElement) + step];
  if (!step || $("found").hidden || !next) return;
  event.preventDefault();
  next.focus();
}

function fail(error) {
  $("error").textContent = error.message;
  $("error").hidden = false;
}

$("pick").addEventListener("submit", (event) => {
  event.preventDefault();
  choose($("customer").value);
});
$("customer").addEventListener("change", () => choose($("customer").value));
$("another").addEventListener("click", () => {
  const others = known.filter((id) => String(id) !== customer);
  choose(String(others[Math.floor(Math.random() * others.length)] ?? ""));
});
$("visitor").addEventListener("click", () => choose(""));
$("buy").addEventListener("click", buy);
$("search").addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(() => search().catch(fail), WAIT_MS);
});
$("searching").addEventListener("keydown", moveInSearch);
$("searching").addEventListener("focusout", (event) => {
  if (!$("searching").contains(event.relatedTarget)) closeSearch();
});

start().catch(fail);
