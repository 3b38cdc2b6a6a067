/** Calls of the API, with the key in a header; what may be repeated is repeated. */

import { session } from "./session.js";

const TRIES = 5;
const LONGEST_PAUSE_MS = 15_000;
const PLAIN = { cache: "no-store", credentials: "omit", referrerPolicy: "no-referrer" };

/** An answer that is an error, or no answer at all (`status` 0). */
export class ApiError extends Error {
  constructor({ status, code, detail, retryAfterS = null }) {
    super(detail);
    Object.assign(this, { status, code, detail, retryAfterS });
  }

  /** Whether the same request may succeed a little later. */
  get isPassing() {
    return [0, 429, 502, 503, 504].includes(this.status);
  }
}

export const NO_ANSWER = { status: 0, code: "no_answer", detail: "" };

/** Return the error that a status and a body tell of. */
export function errorOf(status, body, retryAfter = null) {
  let problem = {};
  try {
    problem = JSON.parse(body) ?? {};
  } catch {
    // Something between here and the API answered in its own words.
  }
  const detail = typeof problem.detail === "string" ? problem.detail : `The server answered ${status}.`;
  const retryAfterS = Number(retryAfter) || null;
  return new ApiError({ status, code: String(problem.code ?? `http_${status}`), detail, retryAfterS });
}

/**
 * Send a request; return the answer, 2xx or 304.
 *
 * @param {string} path
 * @param {{method?: string, json?: unknown, headers?: Object<string, string>, signal?: AbortSignal, tries?: number,
 *     key?: string}} how
 * @throws {ApiError}
 */
export async function call(path, { method = "GET", json, headers = {}, signal, tries = TRIES, key = session.key() } = {}) {
  for (let tried = 1; ; tried += 1) {
    try {
      return await once(path, { method, json, headers, signal, key });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      // An answer to a key that was changed meanwhile says nothing of the new one.
      if (error.status === 401 && key === session.key()) session.forget("The server does not know this key.");
      if (!error.isPassing || tried >= tries) throw error;
      await pause(error, tried, signal);
    }
  }
}

/** Wait as long as an error asks for, or a little longer each time. */
export async function pause(error, tried, signal) {
  await sleep(Math.min(error.retryAfterS ? error.retryAfterS * 1000 : 500 * 2 ** (tried - 1), LONGEST_PAUSE_MS), signal);
}

/** @param {AbortSignal} [signal] */
export function sleep(ms, signal) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });
}

async function once(path, { method, json, headers, signal, key }) {
  const body = json === undefined ? undefined : JSON.stringify(json);
  const type = body === undefined ? {} : { "Content-Type": "application/json" };
  let answer;
  try {
    answer = await fetch(path, {
      method,
      body,
      headers: { "X-API-Key": key, ...type, ...headers },
      signal,
      ...PLAIN,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(NO_ANSWER);
  }
  if (answer.ok || answer.status === 304) return answer;
  throw errorOf(answer.status, await answer.text(), answer.headers.get("Retry-After"));
}

/**
 * Fetch a file, from the store where the API leads there: that address is good for a minute, and gets no key.
 *
 * @returns {Promise<Response>}
 */
export async function file(path, { signal } = {}) {
  const answer = await call(path, { signal, headers: { Prefer: "no-redirect" } });
  if (answer.status !== 204) return answer;
  let stored;
  try {
    stored = await fetch(answer.headers.get("Location"), { signal, ...PLAIN });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(NO_ANSWER);
  }
  if (!stored.ok) throw errorOf(stored.status, "");
  return stored;
}

/** Return a text that nothing else is called: `randomUUID` is there on https and loopback alone. */
export function fresh() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export const FILES = "/api/v1/files";
export const QUEUE = "/api/v1/queue";

/** Submit items; a repeated request makes no second batch. */
export async function submit(body) {
  const headers = { "Idempotency-Key": fresh() };
  return (await call(`${QUEUE}/submit`, { method: "POST", json: body, headers })).json();
}

export async function status(batchId, { signal } = {}) {
  return (await call(`${QUEUE}/status/${encodeURIComponent(batchId)}`, { signal })).json();
}

/** Find out whether the server knows a key, before anything else is done with it. */
export async function tryKey(key) {
  await call(QUEUE, { tries: 2, key });
}
