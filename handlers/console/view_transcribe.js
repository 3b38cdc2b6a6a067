/** Takes files, and shows what becomes of them. */

import { capital, clock, count, explainError, size, timeLeft } from "./words.js";
import { chosen, dropped } from "./drop.js";
import { choice, pill, setPill, title, wordsOf } from "./parts.js";
import { entitle, h, put, say } from "./dom.js";
import { isFinished } from "./watcher.js";
import { LANGUAGES } from "./languages.js";
import { recordings } from "./recordings.js";

const options = { language: "auto", timestamps: true, priority: "normal", label: "", prompt: "" };

export function transcribeView() {
  const drops = h("div", { className: "drops" });
  const shown = new Map();
  const draw = () => {
    for (const [drop, card] of shown) {
      if (!recordings.drops.includes(drop)) {
        card.element.remove();
        shown.delete(drop);
      }
    }
    for (const drop of [...recordings.drops].reverse()) {
      if (!shown.has(drop)) {
        shown.set(drop, dropCard(drop));
        drops.prepend(shown.get(drop).element);
      }
      shown.get(drop).draw();
    }
  };
  draw();
  recordings.addEventListener("change", draw);
  entitle("Transcribe");
  return {
    element: h("section", {}, title("Transcribe recordings"), taker(), drops),
    leave: () => recordings.removeEventListener("change", draw),
  };
}

/** Where files come in: a place to drop them, two pickers, and how they are to be treated. */
function taker() {
  const picker = (properties) => h("input", { type: "file", multiple: true, hidden: true, ...properties });
  const files = picker({ id: "files", accept: "audio/*,video/*", "aria-label": "Files" });
  const folder = picker({ id: "folder", webkitdirectory: true, "aria-label": "A folder" });
  const take = (found) => {
    if (found.length === 0) return say("There are no recordings in that.");
    recordings.add(found.sort(byName), { ...options });
    say(`${count(found.length, "recording")} taken.`);
  };
  for (const input of [files, folder]) {
    input.addEventListener("change", () => {
      take(chosen(input.files));
      input.value = ""; // the same file can be chosen again
    });
  }
  const zone = h(
    "div",
    { className: "zone" },
    h("p", { className: "zone-line" }, "Drop recordings or folders here"),
    h(
      "p",
      { className: "row" },
      h("button", { type: "button", className: "primary", onclick: () => files.click() }, "Choose files"),
      h("button", { type: "button", onclick: () => folder.click() }, "Choose a folder"),
      files,
      folder,
    ),
    h("p", { className: "hint" }, "Any audio, and the sound of videos. Files are kept for a short time only, and so are transcripts: download what you want to keep."),
  );
  let depth = 0;
  const over = (isOver) => zone.classList.toggle("is-over", isOver);
  zone.addEventListener("dragenter", (event) => (event.preventDefault(), (depth += 1), over(true)));
  zone.addEventListener("dragover", (event) => event.preventDefault());
  zone.addEventListener("dragleave", () => ((depth -= 1), over(depth > 0)));
  zone.addEventListener("drop", async (event) => {
    event.preventDefault();
    depth = 0;
    over(false);
    take(await dropped(event.dataTransfer));
  });
  return h("div", { className: "card" }, zone, settings());
}

/** As people count: "2.wav" is before "10.wav". */
function byName(one, other) {
  return one.name.localeCompare(other.name, undefined, { numeric: true });
}

function settings() {
  const known = Object.entries(LANGUAGES);
  const language = choice("Language", [["auto", "Detect it"], ...known], {
    id: "language",
    value: options.language,
    onchange: (event) => (options.language = event.target.value),
  });
  const priority = choice("Priority", [["high", "High"], ["normal", "Normal"], ["low", "Low"]], {
    id: "priority",
    value: options.priority,
    onchange: (event) => (options.priority = event.target.value),
  });
  const times = h("input", {
    type: "checkbox",
    id: "timestamps",
    checked: options.timestamps,
    onchange: (event) => (options.timestamps = event.target.checked),
  });
  const text = (name, properties) =>
    h("input", { type: "text", id: name, value: options[name], oninput: (event) => (options[name] = event.target.value), ...properties });
  const field = (name, input) => h("label", { className: "field" }, h("span", {}, name), input);
  return h(
    "fieldset",
    {},
    h("legend", {}, "For the next recordings"),
    h("div", { className: "settings" }, language.field, h("label", { className: "check" }, times, h("span", {}, "A time for each word ", h("small", {}, "to read along, and for subtitles")))),
    h(
      "details",
      { open: Boolean(options.label || options.prompt || options.priority !== "normal") },
      h("summary", {}, "More"),
      h(
        "div",
        { className: "settings" },
        priority.field,
        field("Name of the batch", text("label", { maxLength: 500, placeholder: "The first file’s" })),
        field("Names and rare words", text("prompt", { maxLength: 2000, placeholder: "Such as Dashwood" })),
      ),
    ),
  );
}

/** One drop: how far it is as a whole, and its recordings. */
function dropCard(drop) {
  const bar = h("progress", { max: 1, value: 0, "aria-label": "All of them" });
  const summary = h("p", { className: "summary" });
  const left = h("p", { className: "hint" });
  const links = h("p", { className: "row links" });
  const rows = new Map(drop.members.map((member) => [member, recordingRow(member)]));
  const heading = drop.options.label || count(drop.members.length, "recording");
  const at = drop.at.toLocaleTimeString([], { timeStyle: "short" });
  let said = "";
  const draw = () => {
    for (const [member, row] of rows) {
      if (drop.members.includes(member)) row.draw();
      else row.element.remove();
    }
    const told = summed(drop);
    put(summary, told.text);
    put(left, told.left);
    left.hidden = told.left === "";
    bar.value = told.part;
    bar.hidden = told.isFinished;
    const wanted = [...drop.batches.keys()];
    if (links.childElementCount !== wanted.length) links.replaceChildren(...batchLinks(wanted));
    // Told in steps: each percent of each file would be noise.
    const step = `${told.done} of ${drop.members.length} done${told.failed ? `, ${told.failed} failed` : ""}`;
    if (step !== said && (told.done || told.failed)) say(capital(step));
    said = step;
  };
  const element = h(
    "article",
    { className: "card drop" },
    h("header", {}, h("h2", {}, heading), h("time", { className: "hint" }, at)),
    summary,
    bar,
    left,
    h("ul", { className: "recordings" }, ...[...rows.values()].map((row) => row.element)),
    links,
  );
  return { element, draw };
}

function batchLinks(ids) {
  const text = (index) => (ids.length === 1 ? "Everything of this batch" : `Everything of batch ${index + 1}`);
  return ids.map((id, index) => h("a", { href: `#/batches/${id}`, className: "button" }, text(index)));
}

function summed(drop) {
  const of = (...states) => drop.members.filter((member) => states.includes(member.state)).length;
  const [sending, waiting, working] = [of("waiting", "uploading", "uploaded"), of("queued"), of("processing")];
  const [done, failed, cancelled] = [of("done"), of("error"), of("cancelled")];
  const told = [
    sending && `${sending} being sent`,
    waiting && `${waiting} in the queue`,
    working && `${working} being transcribed`,
    done && `${done} done`,
    failed && `${failed} failed`,
    cancelled && `${cancelled} cancelled`,
  ].filter(Boolean);
  const part = drop.members.reduce((sum, member) => sum + partOf(member), 0) / drop.members.length;
  const running = [...drop.batches.values()].filter((status) => status && !isFinished(status));
  const longest = running.reduce((a, b) => ((b.estimate?.seconds_left ?? 0) > (a?.estimate?.seconds_left ?? 0) ? b : a), null);
  return { text: told.join(" · "), part, done, failed, left: timeLeft(longest?.estimate), isFinished: done + failed + cancelled === drop.members.length };
}

/** How far a recording is: a third of the way is its upload. */
function partOf(member) {
  const sent = member.file.size ? member.sentBytes / member.file.size : 0;
  return { waiting: 0, uploading: sent * 0.3, uploaded: 0.3, queued: 0.35, processing: 0.6 }[member.state] ?? 1;
}

function recordingRow(member) {
  const state = pill(member.state);
  const bar = h("progress", { max: 1, "aria-label": `Upload of ${member.name}` });
  const note = h("p", { className: "hint" });
  const actions = h("span", { className: "row" });
  let drawn = "";
  const draw = () => {
    setPill(state, member.state);
    bar.hidden = member.state !== "uploading";
    bar.value = member.file.size ? member.sentBytes / member.file.size : 0;
    const length = member.item?.audio_s ? clock(member.item.audio_s) : "";
    const sent = member.state === "uploading" ? `${size(member.sentBytes)} of ${size(member.file.size)}` : size(member.file.size);
    put(note, [length, sent].filter(Boolean).join(" · "));
    const now = `${member.state} ${member.itemId} ${member.error?.title}`;
    if (now === drawn) return;
    drawn = now;
    const had = actions.contains(document.activeElement);
    actions.replaceChildren(...actionsOf(member));
    wrong.replaceChildren(...(member.error ? wordsOf(member.error).filter(Boolean) : []));
    wrong.hidden = member.error === null;
    if (had) (actions.firstElementChild ?? element).focus();
  };
  const wrong = h("p", { className: "wrong", hidden: true });
  const element = h(
    "li",
    { className: "recording", tabIndex: -1 },
    h("div", { className: "what" }, h("span", { className: "name" }, member.name), note, bar),
    h("div", { className: "then" }, state, actions),
    wrong,
  );
  return { element, draw };
}

function actionsOf(member) {
  const { name, batchId, itemId } = member;
  if (member.state === "done") {
    return [h("a", { className: "button", href: `#/batches/${batchId}/${itemId}`, "aria-label": `Read ${name}` }, "Read")];
  }
  if (["error", "cancelled"].includes(member.state)) {
    const onclick = () => recordings.retry(member);
    return [h("button", { type: "button", "aria-label": `Try again: ${name}`, onclick }, "Try again")];
  }
  const isOnItsWay = member.state === "queued" && itemId === null; // the server is about to tell what it calls it
  const onclick = () => recordings.giveUp(member).catch((error) => say(explainError(error).title));
  return isOnItsWay ? [] : [h("button", { type: "button", className: "quiet", "aria-label": `Cancel ${name}`, onclick }, "Cancel")];
}
