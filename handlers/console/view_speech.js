/** Speech that was made: to listen to, and to take away. */

import { clock, moment } from "./words.js";
import { download, fileName } from "./download.js";
import { facts } from "./parts.js";
import { h } from "./dom.js";

/** Whether an item's result is speech: transcripts are JSON. */
export function isSpeech(item) {
  return Boolean(item.url) && !item.url.endsWith(".json");
}

export function speech({ item, name, blob, undo }) {
  const address = URL.createObjectURL(blob);
  const audio = h("audio", { controls: true, preload: "auto", src: address, "aria-label": `Speech ${name}` });
  undo.push(() => (audio.pause(), audio.removeAttribute("src"), URL.revokeObjectURL(address)));
  const suffix = item.url.slice(item.url.lastIndexOf("."));
  const save = () => download(item.url, fileName(name, suffix));
  return [
    facts([
      ["Length", item.audio_s ? clock(item.audio_s) : null],
      ["Done", moment(item.finished_at)],
    ]),
    h("div", { className: "card player" }, audio),
    h("div", { className: "tools" }, h("button", { type: "button", className: "primary", id: "save", onclick: save }, "Download")),
  ];
}
