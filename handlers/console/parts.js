/** Pieces that several views are made of. */

import { h, put } from "./dom.js";
import { STATES } from "./words.js";

/** The state of a recording or a batch: a word, and a colour that says the same. */
export function pill(state) {
  const element = h("span", { className: "pill" });
  setPill(element, state);
  return element;
}

export function setPill(element, state) {
  if (element.dataset.state !== state) element.dataset.state = state;
  put(element, STATES[state] ?? state);
}

/** A heading that takes the focus when its view is shown. */
export function title(text) {
  return h("h1", { tabIndex: -1 }, text);
}

/** What went wrong, in plain words, and in the server's own where these say more. */
export function wordsOf({ title: what, detail }) {
  return [h("strong", {}, what), detail && detail !== what && ` ${detail}`];
}

/** The same, where it is all that there is to show. */
export function problem(wrong) {
  return h("div", { className: "notice bad", role: "alert" }, ...wordsOf(wrong));
}

/** A list of facts; what is nothing is left out. */
export function facts(pairs) {
  const known = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return h("dl", { className: "facts" }, ...known.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

/** A labelled choice. */
export function choice(label, options, { value, hint, ...properties } = {}) {
  const entries = options.map(([key, text]) => h("option", { value: key, selected: key === value }, text));
  const select = h("select", properties, ...entries);
  return { select, field: h("label", { className: "field" }, h("span", {}, label), select, hint && h("small", {}, hint)) };
}

/** Draw again into a place while keeping the focus where it was, by `data-focus`. */
export function redraw(place, ...children) {
  const focused = place.contains(document.activeElement) ? document.activeElement.dataset.focus : undefined;
  place.replaceChildren(...children.filter(Boolean));
  if (focused !== undefined) place.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus();
}
