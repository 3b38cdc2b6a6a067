/**
 * The recordings of this tab, from the file to its transcript.
 *
 *     waiting → uploading → uploaded → queued → processing → done
 *        ↑          └────────────────────┴──────────┴──────→ error, cancelled
 *        └───────────────────── retry ──────────────────────────┘
 *
 * Files that came together are a drop. A few of them are uploaded at a time; what is uploaded is submitted when nothing
 * of the drop is under way any more, or when much of it is there, or has been there for a while: a batch is then many
 * items, and none of them waits long for the others.
 */

import { ApiError, QUEUE, call, submit } from "./api.js";
import { upload } from "./uploads.js";
import { watcher } from "./watcher.js";
import { explain, explainError } from "./words.js";

const SIDE_BY_SIDE = 3;
const MOST_AT_ONCE = 100;
const LONGEST_MS = 60_000;
const MAX_NAME_CHARS = 500; // of `custom_id`

/**
 * @typedef {object} Recording
 * @property {string} name
 * @property {File} file
 * @property {string} state
 * @property {AbortController} leaving Aborted when it is given up.
 * @property {number} sentBytes
 * @property {string|null} fileId
 * @property {string|null} batchId
 * @property {string|null} itemId
 * @property {object|null} item Of the newest status answer.
 * @property {{title: string, detail: string}|null} error
 */

export const recordings = Object.assign(new EventTarget(), {
  /** @type {{options: object, members: Recording[], batches: Map<string, object|null>, at: Date}[]} */
  drops: [],
  _uploading: 0,
  _stopped: new AbortController(),

  /**
   * Take files that came together.
   *
   * @param {{file: File, name: string}[]} found
   * @param {{language: string, timestamps: boolean, priority: string, label: string, prompt: string}} options
   */
  add(found, options) {
    const drop = { options, members: found.map(recording), batches: new Map(), at: new Date(), timer: null };
    for (const member of drop.members) member.drop = drop;
    this.drops.unshift(drop);
    this._changed();
    this._pump();
  },

  /** Try a failed one again: from its upload, if that is still there, else from its file. */
  retry(member) {
    Object.assign(member, { error: null, batchId: null, itemId: null, item: null, isSentAgain: false });
    member.state = member.fileId === null ? "waiting" : "uploaded";
    member.since = performance.now();
    this._changed();
    this._pump();
    this._submitReady(member.drop);
  },

  /** Give one up: take it away while only this tab knows of it, else have the server cancel it. */
  async giveUp(member) {
    if (member.itemId !== null) {
      const path = `${QUEUE}/batches/${member.batchId}/items/${member.itemId}/cancel`;
      await call(path, { method: "POST" }); // what becomes of it, the next status answer tells
      return;
    }
    const { drop } = member;
    member.leaving.abort(new DOMException("given up", "AbortError"));
    drop.members.splice(drop.members.indexOf(member), 1);
    if (drop.members.length === 0) this.drops.splice(this.drops.indexOf(drop), 1);
    this._changed();
    this._submitReady(drop);
  },

  /** Return the recording of an item, if it is one of this tab's. */
  of(itemId) {
    return this.drops.flatMap((drop) => drop.members).find((member) => member.itemId === itemId) ?? null;
  },

  /** Whether something would be lost with the page. */
  isSending() {
    return this.drops.some((drop) => drop.members.some((one) => ["waiting", "uploading", "uploaded"].includes(one.state)));
  },

  /** Give everything up and forget it. */
  forget() {
    this._stopped.abort(new DOMException("forgotten", "AbortError"));
    this._stopped = new AbortController();
    for (const drop of this.drops) clearTimeout(drop.timer);
    this.drops = [];
    this._uploading = 0;
    this._changed();
  },

  _pump() {
    for (const drop of [...this.drops].reverse()) {
      for (const member of drop.members) {
        if (this._uploading >= SIDE_BY_SIDE) return;
        if (member.state === "waiting") this._upload(member, this._stopped);
      }
    }
  },

  async _upload(member, stopped) {
    const signal = AbortSignal.any([stopped.signal, member.leaving.signal]);
    this._uploading += 1;
    member.state = "uploading";
    member.sentBytes = 0;
    this._changed();
    const progress = (sentBytes) => {
      member.sentBytes = Math.min(sentBytes, member.file.size); // a form is a little longer than its file
      this._changed();
    };
    try {
      member.fileId = await upload(member.file, { progress, signal });
      member.state = "uploaded";
      member.since = performance.now();
    } catch (error) {
      if (stopped.signal.aborted) return;
      if (!signal.aborted) fail(member, error);
    }
    this._uploading -= 1;
    this._changed();
    this._submitReady(member.drop);
    this._pump();
  },

  _submitReady(drop) {
    clearTimeout(drop.timer);
    const ready = drop.members.filter((member) => member.state === "uploaded");
    if (ready.length === 0) return;
    const isMoreComing = drop.members.some((member) => ["waiting", "uploading"].includes(member.state));
    const oldestMs = performance.now() - Math.min(...ready.map((member) => member.since));
    if (isMoreComing && ready.length < MOST_AT_ONCE && oldestMs < LONGEST_MS) {
      drop.timer = setTimeout(() => this._submitReady(drop), LONGEST_MS - oldestMs + 10);
      return;
    }
    for (let at = 0; at < ready.length; at += MOST_AT_ONCE) {
      this._submit(drop, ready.slice(at, at + MOST_AT_ONCE), this._stopped.signal);
    }
  },

  async _submit(drop, members, signal) {
    const { language, timestamps, priority, label, prompt } = drop.options;
    for (const member of members) member.state = "queued";
    this._changed();
    const items = members.map((member) => ({
      operation: "transcribe",
      ref_audio: member.fileId,
      language,
      return_timestamps: timestamps,
      custom_id: member.name.slice(-MAX_NAME_CHARS).toWellFormed(),
      ...(prompt ? { prompt } : {}),
    }));
    try {
      const answer = await submit({ label: label || labelOf(members), priority, items });
      if (signal.aborted) return;
      members.forEach((member, index) => {
        Object.assign(member, { batchId: answer.batch_id, itemId: answer.item_ids[index] });
      });
      drop.batches.set(answer.batch_id, null);
      watcher.watch(answer.batch_id, (status, error) => this._polled(drop, members, answer.batch_id, status, error));
    } catch (error) {
      if (signal.aborted) return;
      // The upload may be what has gone; the file is still here, and is sent once more.
      const isGone = error instanceof ApiError && [404, 409, 410].includes(error.status);
      for (const member of members) {
        if (isGone) member.fileId = null;
        if (isGone && !member.isSentAgain) Object.assign(member, { state: "waiting", isSentAgain: true });
        else fail(member, error);
      }
      this._pump();
    }
    this._changed();
  },

  _polled(drop, members, batchId, status, error) {
    if (status !== null) drop.batches.set(batchId, status);
    const items = new Map((status?.items ?? []).map((item) => [item.item_id, item]));
    for (const member of members.filter((one) => one.batchId === batchId)) {
      const item = items.get(member.itemId);
      if (error !== null) fail(member, error);
      if (item === undefined) continue;
      member.item = item;
      member.state = item.error_code === "cancelled" ? "cancelled" : item.status;
      member.error = member.state === "error" ? explain(item.error_code, item.error ?? "") : null;
      if (item.error_code === "audio_missing") member.fileId = null; // only its file can be tried again
    }
    this._changed();
  },

  _changed() {
    if (this._isTold) return;
    this._isTold = true; // a hundred changes in a frame are shown once
    setTimeout(() => {
      this._isTold = false;
      this.dispatchEvent(new Event("change"));
    }, 50);
  },
});

function recording({ file, name }) {
  const none = { fileId: null, batchId: null, itemId: null, item: null, error: null };
  return { name, file, leaving: new AbortController(), state: "waiting", sentBytes: 0, since: 0, isSentAgain: false, ...none };
}

function fail(member, error) {
  member.state = "error";
  member.error = explainError(error);
}

function labelOf(members) {
  const first = members[0].name.slice(0, 200);
  return members.length === 1 ? first : `${first} and ${members.length - 1} more`;
}
