/** Shows the view that the address names; without a key, the one that asks for it. */

import { batchView } from "./view_batch.js";
import { batchesView } from "./view_batches.js";
import { keyView } from "./view_key.js";
import { queueView } from "./view_queue.js";
import { recordings } from "./recordings.js";
import { session } from "./session.js";
import { transcribeView } from "./view_transcribe.js";
import { transcriptView } from "./view_transcript.js";
import { watcher } from "./watcher.js";

const content = document.getElementById("content");
const pages = document.getElementById("pages");
const forget = document.getElementById("forget");
const trouble = document.getElementById("trouble");
let view = null;

function viewOf(path) {
  const [, first, batchId, itemId] = path.split("/");
  if (first === "batches" && itemId) return transcriptView({ batchId, itemId });
  if (first === "batches" && batchId) return batchView({ batchId });
  if (first === "batches") return batchesView();
  if (first === "queue") return queueView();
  return transcribeView();
}

function show({ why = "", isFirst = false } = {}) {
  view?.leave?.();
  const hasKey = session.key() !== "";
  const path = location.hash.slice(1) || "/";
  pages.hidden = forget.hidden = !hasKey;
  view = hasKey ? viewOf(path) : keyView(why);
  content.replaceChildren(view.element);
  for (const link of pages.querySelectorAll("a")) {
    const target = link.hash.slice(1);
    const isHere = target === "/" ? path === "/" : path.startsWith(target);
    if (isHere) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (isFirst) return;
  // Who listens is told where they are; who looks begins at the top.
  scrollTo(0, 0);
  (hasKey ? content.querySelector("h1") : document.getElementById("key"))?.focus({ preventScroll: true });
}

addEventListener("hashchange", () => show());
session.addEventListener("change", (event) => {
  if (session.key() === "") {
    recordings.forget();
    watcher.stop();
  }
  show({ why: event.detail ?? "" });
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the part of the address behind # names the view
  content.focus();
});
forget.addEventListener("click", () => session.forget());
document.addEventListener("reachable", (event) => {
  trouble.hidden = event.detail;
  trouble.textContent = event.detail ? "" : "The server does not answer at the moment. This page keeps trying.";
});
// A file that misses its place would replace the page, and all that is under way with it.
for (const name of ["dragover", "drop"]) addEventListener(name, (event) => event.preventDefault());
addEventListener("beforeunload", (event) => {
  if (recordings.isSending()) event.preventDefault();
});
show({ isFirst: true });
