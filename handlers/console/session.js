/** The key: in this tab's own storage, gone with the tab, in no address and in no log. */

const NAME = "asr-queue-key";

export const session = Object.assign(new EventTarget(), {
  /** @returns {string} The key, "" where there is none. */
  key() {
    return sessionStorage.getItem(NAME) ?? "";
  },
  keep(key) {
    sessionStorage.setItem(NAME, key);
    this.dispatchEvent(new Event("change"));
  },
  /** @param {string} why Told to who has to enter another one. */
  forget(why = "") {
    sessionStorage.removeItem(NAME);
    this.dispatchEvent(new CustomEvent("change", { detail: why }));
  },
});

/** Whether a text can be a key: a header carries no more than visible ASCII. */
export function isKey(text) {
  return /^[\x21-\x7e]+$/.test(text);
}
