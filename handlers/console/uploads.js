/** Sends one file: through the API, or straight to the store where it is too large for that. */

import { ApiError, FILES, NO_ANSWER, call, errorOf, pause } from "./api.js";
import { session } from "./session.js";

const THROUGH_API_MAX_BYTES = 4_000_000; // a function of Lambda takes 6 MB, of which base64 leaves 4.5
const TRIES = 4;

/**
 * Upload a file.
 *
 * @param {File} file
 * @param {{progress: (sentBytes: number) => void, signal: AbortSignal}} how
 * @returns {Promise<string>} Its file id.
 * @throws {ApiError}
 */
export async function upload(file, { progress, signal }) {
  if (file.size > THROUGH_API_MAX_BYTES) {
    const how = await presigned(file, signal);
    if (how !== null) return straight(file, how, { progress, signal });
  }
  const form = new FormData();
  form.append("file", file, bareName(file.name));
  const answer = await sent("POST", `${FILES}/upload`, form, { progress, signal, key: session.key() });
  return JSON.parse(answer).file_id;
}

async function presigned(file, signal) {
  const type = /^[\w.+-]+\/[\w.+-]+$/.test(file.type) ? file.type : "application/octet-stream";
  const json = { file_name: bareName(file.name), size_bytes: file.size, content_type: type };
  const how = await (await call(`${FILES}/presign`, { method: "POST", json, signal })).json();
  const address = new URL(how.url ?? how.parts[0].url);
  // The store of a system on another machine's loopback: here that is somebody else, or nobody.
  return isLoopback(address.hostname) && !isLoopback(location.hostname) ? null : how;
}

async function straight(file, how, { progress, signal }) {
  if (how.method === "POST") {
    const form = new FormData();
    for (const [name, value] of Object.entries(how.fields)) form.append(name, value);
    form.append("file", file, "recording");
    await sent("POST", how.url, form, { progress, signal });
  } else {
    for (const part of how.parts) {
      const bytes = file.slice(part.offset_bytes, part.offset_bytes + part.size_bytes);
      const partly = (sentBytes) => progress(part.offset_bytes + sentBytes);
      await sent("PUT", part.url, bytes, { progress: partly, signal });
    }
  }
  const path = `${FILES}/${encodeURIComponent(how.file_id)}/complete`;
  return (await (await call(path, { method: "POST", signal })).json()).file_id;
}

/** Send a body until it is taken; `fetch` tells nothing of how far it has come. */
async function sent(method, address, body, { progress, signal, key }) {
  for (let tried = 1; ; tried += 1) {
    try {
      return await sentOnce(method, address, body, { progress, signal, key });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 401 && key === session.key()) session.forget("The server does not know this key.");
      if (!error.isPassing || tried >= TRIES) throw error;
      await pause(error, tried, signal);
    }
  }
}

function sentOnce(method, address, body, { progress, signal, key }) {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const request = new XMLHttpRequest();
    request.open(method, address);
    if (key !== undefined) request.setRequestHeader("X-API-Key", key);
    request.upload.onprogress = (event) => progress(event.loaded);
    request.onload = () => {
      if (request.status >= 200 && request.status < 300) return resolve(request.responseText);
      const error = errorOf(request.status, request.responseText, request.getResponseHeader("Retry-After"));
      reject(key === undefined && !error.isPassing ? new ApiError({ ...error, code: "upload_refused" }) : error);
    };
    request.onerror = () => reject(new ApiError(NO_ANSWER));
    request.onabort = () => reject(signal.reason);
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(body);
  });
}

/** The API takes no control characters in a name; how it is shown here does not change by that. */
function bareName(name) {
  return name.replace(/[\p{C}/\\]/gu, "_").slice(-200) || "recording";
}

function isLoopback(host) {
  return host === "localhost" || host === "[::1]" || /^127\./.test(host);
}
