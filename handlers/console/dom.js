/** Elements, made of text and never of markup: names and transcripts are data. */

/**
 * Return a new element.
 *
 * @param {string} tag
 * @param {Object<string, unknown>} properties `on…` listens, `data-…`, `aria-…` and `role` are attributes, the rest
 *     are the element's own properties.
 * @param {...(Node|string|number|null|undefined|false)} children Texts stay texts; what is nothing is left out.
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "role" || name === "for" || /^(data|aria)-/.test(name)) element.setAttribute(name, String(value));
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Put a text where it is not yet: what stays the same is not announced again. */
export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Tell what is shown, in the window's title. */
export function entitle(text) {
  document.title = `${text} · asr-queue`;
}

/** Say something to who listens rather than looks. */
export function say(text) {
  put(document.getElementById("said"), text);
}
