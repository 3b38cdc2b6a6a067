/** What leaves the page: files, and texts for the clipboard. */

import { file } from "./api.js";

/** Formats by the names that the API has for them. */
export const FORMATS = [
  ["txt", "Text"],
  ["json", "JSON"],
  ["verbose_json", "Detailed JSON"],
  ["srt", "SRT"],
  ["vtt", "WebVTT"],
];

const SUFFIXES = { txt: ".txt", json: ".json", verbose_json: ".verbose.json", srt: ".srt", vtt: ".vtt" };

/** Fetch with the key, and save under a name: no address that could be passed on. */
export async function download(path, name) {
  const blob = await (await file(path)).blob();
  const address = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000); // the browser reads it after the click
}

/** Name of a recording's file in a format: `talks/one.mp3` becomes `one.srt`. */
export function fileName(recording, format) {
  const bare = recording.split(/[/\\]/).pop().replace(/\.[^.]{1,5}$/, "").replace(/[\p{C}:*?"<>|]/gu, "_");
  return `${bare || "transcript"}${SUFFIXES[format] ?? format}`;
}

/** Copy a text; where the clipboard is closed (plain http on another machine), by the browser's older way. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const place = document.createElement("textarea");
    place.value = text;
    place.className = "unseen";
    document.body.append(place);
    place.select();
    const isCopied = document.execCommand("copy");
    place.remove();
    return isCopied;
  }
}
