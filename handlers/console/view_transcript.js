/** What became of one item: a transcript to read, to read along, to take away; or speech. */

import { ApiError, FILES, file, status } from "./api.js";
import { FORMATS, copy, download, fileName } from "./download.js";
import { choice, facts, problem, title } from "./parts.js";
import { clock, explain, explainError, moment } from "./words.js";
import { entitle, h, put, say } from "./dom.js";
import { isSpeech, speech } from "./view_speech.js";
import { LANGUAGES } from "./languages.js";
import { paragraphs } from "./reading.js";
import { recordings } from "./recordings.js";
import { tie } from "./player.js";

const UNSURE_BELOW = 0.5;

export function transcriptView({ batchId, itemId }) {
  const leaving = new AbortController();
  const body = h("div", { className: "spaced", "aria-busy": "true" }, h("p", { className: "hint" }, "Loading …"));
  const heading = title("Transcript");
  const element = h(
    "section",
    {},
    h("p", { className: "back" }, h("a", { href: `#/batches/${batchId}` }, "← All of the batch")),
    heading,
    body,
  );
  const undo = [() => leaving.abort()];

  async function load() {
    const batch = await status(batchId, { signal: leaving.signal });
    const item = batch.items.find((one) => one.item_id === itemId);
    if (item === undefined) throw new ApiError({ status: 404, code: "file_not_found", detail: "" });
    const name = item.custom_id || `Recording ${batch.items.indexOf(item) + 1}`;
    put(heading, name);
    entitle(name);
    if (item.status === "error") return body.replaceChildren(problem(explain(item.error_code, item.error ?? "")));
    if (item.status !== "done") return body.replaceChildren(h("p", {}, "This one is not done yet."));
    const result = await file(item.url, { signal: leaving.signal });
    if (isSpeech(item)) return body.replaceChildren(...speech({ item, name, blob: await result.blob(), undo }));
    const transcript = await result.json();
    body.classList.toggle("has-words", Boolean(transcript.timestamps?.length));
    body.replaceChildren(...shown({ item, name, transcript, undo }));
  }

  entitle("Transcript");
  load()
    .catch((error) => {
      if (!leaving.signal.aborted) body.replaceChildren(problem(explainError(error)));
    })
    .finally(() => body.removeAttribute("aria-busy"));
  return { element, leave: () => undo.forEach((one) => one()) };
}

function shown({ item, name, transcript, undo }) {
  const words = transcript.timestamps ?? [];
  const lengthS = item.audio_s ?? transcript.duration;
  const about = facts([
    ["Language", transcript.language],
    ["Length", lengthS ? clock(lengthS) : null],
    ["Words", words.length ? words.length.toLocaleString("en") : null],
    ["Done", moment(item.finished_at)],
  ]);
  const text = reader(transcript, words);
  const player = listener({ item, name, text, words, undo });
  return [about, ...remarks(transcript), tools({ item, name, transcript, words }), ...player, text.legend, text.element].filter(Boolean);
}

/** What is to be known of this text before it is relied on. */
function remarks(transcript) {
  const said = [
    transcript.no_speech && "Nothing was said in this recording.",
    transcript.truncated && "The recogniser was stopped before it had come to an end: the last of what was said may be missing.",
    transcript.repetition && "The recogniser ran in circles: what it said over and over is here once, and something after it may be missing.",
    transcript.timestamps_unavailable && `There are no times for the words. ${transcript.timestamps_unavailable}`,
  ];
  return said.filter(Boolean).map((remark) => h("p", { className: "notice" }, remark));
}

/** The text: words that lead to their seconds, or plain where there are none, or where that reads better. */
function reader(transcript, words) {
  const buttons = [];
  const code = Object.keys(LANGUAGES).find((one) => LANGUAGES[one] === transcript.language) ?? "";
  const plain = h("p", { className: "plain" }, transcript.text);
  const parts = paragraphs(transcript.text, words).map((paragraph) => {
    const time = h("span", { className: "time", "aria-hidden": "true" }, clock(paragraph.startS));
    const line = h("p", { className: "words" });
    for (const word of paragraph.words) {
      const button = h("button", { type: "button", className: "word", tabIndex: -1 }, word.text);
      const { confidence } = words[word.index];
      if (typeof confidence === "number" && confidence < UNSURE_BELOW) button.dataset.unsure = "true";
      line.append(word.before, button);
      buttons.push(button);
    }
    return h("div", { className: "paragraph" }, time, line);
  });
  const spoken = h(
    "div",
    { role: "group", "aria-label": "Words. The arrow keys lead from one to the next, Enter plays from there.", className: "spoken" },
    ...parts,
  );
  const isUnsure = buttons.some((button) => button.dataset.unsure);
  const legend = h("p", { className: "hint" }, "A dotted line is under words that the recogniser is not sure of.");
  const element = h("div", { className: "transcript", lang: code, dir: "auto" }, words.length ? spoken : plain);
  const showPlain = (isPlain) => element.firstElementChild.replaceWith(isPlain ? plain : spoken);
  return { element, spoken, buttons, showPlain, legend: isUnsure && legend };
}

/** The recording itself: the file of this tab, else the server's while it has it, else one that is chosen again. */
function listener({ item, name, text, words, undo }) {
  const audio = h("audio", { controls: true, preload: "auto", "aria-label": `Recording ${name}` });
  const note = h("p", { className: "hint" });
  const sources = h("p", { className: "row" });
  let address = "";
  const play = (blob) => {
    URL.revokeObjectURL(address);
    address = URL.createObjectURL(blob);
    audio.src = address;
    audio.hidden = false;
    sources.hidden = true;
    put(note, words.length ? "A click on a word plays from there." : "");
  };
  audio.addEventListener("error", () => {
    if (audio.hidden) return;
    put(note, "This browser cannot play this recording. The transcript is complete all the same.");
  });
  const local = recordings.of(item.item_id)?.file;
  if (local) play(local);
  else offer({ item, sources, note, play });
  audio.hidden = !local;
  const speed = choice("Speed", [0.75, 1, 1.25, 1.5, 2].map((one) => [String(one), `${one}×`]), {
    id: "speed",
    value: "1",
    onchange: (event) => (audio.playbackRate = Number(event.target.value)),
  });
  const following = h("input", { type: "checkbox", checked: true });
  undo.push(tie(audio, text.spoken, text.buttons, words, { isFollowing: () => following.checked }));
  undo.push(() => (audio.pause(), audio.removeAttribute("src"), URL.revokeObjectURL(address)));
  return [
    h("div", { className: "card player" }, audio, sources),
    h(
      "div",
      { className: "row listening" },
      speed.field,
      words.length > 0 && h("label", { className: "check" }, following, h("span", {}, "Follow the speaker")),
      words.length > 0 && plainSwitch(text),
      note,
    ),
  ];
}

function plainSwitch(text) {
  const onchange = (event) => text.showPlain(event.target.checked);
  return h("label", { className: "check" }, h("input", { type: "checkbox", id: "plain", onchange }), h("span", {}, "Plain text"));
}

function offer({ item, sources, note, play }) {
  const input = h("input", { type: "file", accept: "audio/*,video/*", hidden: true, "aria-label": "The recording" });
  input.addEventListener("change", () => input.files.length && play(input.files[0]));
  const fetched = async (event) => {
    const button = event.currentTarget;
    button.disabled = true;
    put(note, "Loading the recording …");
    try {
      play(await (await file(`${FILES}/${encodeURIComponent(item.ref_audio)}`)).blob());
    } catch (error) {
      const { title: what } = explainError(error);
      put(note, `${what} Choose your own copy of the recording to listen to it.`);
    }
  };
  sources.append(
    item.ref_audio ? h("button", { type: "button", className: "primary", onclick: fetched }, "Load the recording") : "",
    h("button", { type: "button", onclick: () => input.click() }, "Choose it from this computer"),
    input,
  );
}

/** Copy, and every format. */
function tools({ item, name, transcript, words }) {
  const answer = h("p", { className: "hint" });
  const tell = (text) => (put(answer, text), say(text));
  const copied = async () => {
    const isCopied = await copy(transcript.text);
    tell(isCopied ? "Copied." : "The browser did not let the page copy. Show the plain text, and copy it from there.");
  };
  const save = async (format, event) => {
    const button = event.currentTarget;
    button.disabled = true;
    try {
      const saved = fileName(name, format);
      await download(`${item.url}?format=${format}`, saved);
      tell(`Saved ${saved}.`);
    } catch (error) {
      tell(explainError(error).title);
    } finally {
      button.disabled = false;
    }
  };
  const offered = FORMATS.filter(([format]) => words.length > 0 || !["srt", "vtt"].includes(format));
  const buttons = offered.map(([format, label]) =>
    h("button", { type: "button", "data-format": format, onclick: (event) => save(format, event) }, label),
  );
  return h(
    "div",
    { className: "tools" },
    h("button", { type: "button", className: "primary", id: "copy", onclick: copied }, "Copy the text"),
    h("span", { className: "row", role: "group", "aria-label": "Download as" }, h("span", { className: "hint", "aria-hidden": "true" }, "Download"), ...buttons),
    answer,
  );
}
