/** Polls the batches that somebody looks at until they are finished, all by one request at a time. */

import { ApiError, QUEUE, call, sleep } from "./api.js";

const ROUND_MS = 1000; // at least; a server that can wait for a change takes longer
const WAIT_S = 10;

/** Whether a status answer will never change again. */
export function isFinished(status) {
  return status.completed + status.failed === status.total;
}

/**
 * @callback Told
 * @param {object|null} status The newest answer, null where there is none.
 * @param {ApiError|null} error Why there will be none.
 */

export const watcher = {
  /** @type {Map<string, {told: Set<Told>, tag: string|null, last: object|null}>} */
  _watched: new Map(),
  _isRunning: false,
  _stopped: new AbortController(),

  /**
   * Tell of each change of a batch, the first answer included.
   *
   * @param {string} batchId
   * @param {Told} told
   * @returns {() => void} Ends it.
   */
  watch(batchId, told) {
    const entry = this._watched.get(batchId) ?? { told: new Set(), tag: null, last: null };
    this._watched.set(batchId, entry);
    entry.told.add(told);
    if (entry.last !== null) told(entry.last, null);
    this._restart();
    return () => {
      entry.told.delete(told);
      if (entry.told.size === 0 && this._watched.get(batchId) === entry) this._watched.delete(batchId);
    };
  },

  /** Forget everything. */
  stop() {
    this._watched.clear();
    this._stopped.abort();
  },

  /** Let a request that waits for a change of one batch make room for the others. */
  _restart() {
    this._stopped.abort();
    this._stopped = new AbortController();
    this._run(this._stopped.signal).catch((error) => {
      if (error.name !== "AbortError") throw error;
    });
  },

  async _run(signal) {
    for (let failures = 0; ; ) {
      const open = [...this._watched].filter(([, entry]) => entry.last === null || !isFinished(entry.last));
      if (open.length === 0) return;
      const began = performance.now();
      for (const [batchId, entry] of open) {
        try {
          await this._ask(batchId, entry, { waitS: open.length === 1 && entry.tag ? WAIT_S : 0, signal });
          failures = 0;
        } catch (error) {
          if (!(error instanceof ApiError)) throw error;
          if (error.status === 401) return;
          if (error.isPassing) failures += 1;
          else this._give(batchId, entry, null, error);
        }
        document.dispatchEvent(new CustomEvent("reachable", { detail: failures === 0 }));
      }
      const leastMs = ROUND_MS * Math.min(2 ** failures, 16);
      await sleep(Math.max(leastMs - (performance.now() - began), 100), signal);
    }
  },

  async _ask(batchId, entry, { waitS, signal }) {
    const headers = entry.tag ? { "If-None-Match": entry.tag } : {};
    const wait = waitS ? `?wait=${waitS}` : "";
    const answer = await call(`${QUEUE}/status/${encodeURIComponent(batchId)}${wait}`, { headers, signal, tries: 1 });
    // No change; but time has gone by, and with it the estimate: the next answer is to come at once.
    if (answer.status === 304) return void (entry.tag = null);
    entry.tag = answer.headers.get("ETag");
    this._give(batchId, entry, await answer.json(), null);
  },

  _give(batchId, entry, status, error) {
    if (error !== null) this._watched.delete(batchId);
    entry.last = status;
    for (const told of [...entry.told]) told(status, error);
  },
};
