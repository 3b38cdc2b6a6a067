/** What is said to people: sizes, times, states, and what went wrong. */

import { ApiError } from "./api.js";

const RECORDING = {
  audio_empty: "The recording is empty.",
  audio_format_unknown: "This is not a recording.",
  audio_track_missing: "This is a video without sound.",
  audio_corrupt: "The recording is damaged.",
  audio_undecodable: "The recording could not be read. Convert it, for example to FLAC.",
  audio_not_finite: "The recording holds values that are no sound.",
  audio_too_short: "The recording is too short.",
  audio_too_long: "The recording is too long. Cut it into pieces.",
  audio_missing: "The recording is not on the server any more.",
  language_not_supported: "The recogniser does not know this language. Let it detect the language.",
  engine_out_of_memory: "The recording needs more memory than the server has.",
  too_many_attempts: "The server tried several times and gave up.",
  cancelled: "Cancelled.",
};

const REQUEST = {
  no_answer: "The server does not answer. Is it running, and are you online?",
  unauthorized: "The server does not know this key.",
  empty_upload: "The file is empty.",
  payload_too_large: "The file is larger than the server takes.",
  file_expired: "The server keeps files for a limited time only, and this one's time is over.",
  file_not_found: "The server does not have this file.",
  file_deleted: "This file was deleted.",
  batch_not_found: "The server does not have this batch.",
  batch_deleted: "This batch was deleted.",
  too_many_items_waiting: "Too many of your recordings are waiting already. Try again when some are done.",
  too_many_bytes_stored: "You have as much stored as you may. Try again when some of it has expired.",
  too_many_requests: "That was too fast for the server. Try again in a moment.",
  upload_refused: "The store did not take the file.",
  file_unreadable: "The browser cannot read this file any more. Choose it again.",
};

/**
 * Say what is wrong.
 *
 * @returns {{title: string, detail: string}} In plain words, and in the server's own where these say more.
 */
export function explain(code, detail = "") {
  const title = RECORDING[code] ?? REQUEST[code];
  return title === undefined ? { title: detail || "Something went wrong.", detail: "" } : { title, detail };
}

/** The same of whatever was thrown. */
export function explainError(error) {
  if (error instanceof ApiError) return explain(error.code, error.detail);
  return { title: "Something went wrong in this page.", detail: String(error?.message ?? error) };
}

export const STATES = {
  waiting: "Waiting",
  uploading: "Uploading",
  uploaded: "Uploaded",
  queued: "In the queue",
  processing: "Transcribing",
  done: "Done",
  error: "Failed",
  cancelled: "Cancelled",
  completed: "Done",
  partial: "Some failed",
};

export function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  const step = Math.min(Math.floor(Math.log10(bytes) / 3), 4);
  const value = bytes / 1000 ** step;
  return `${value.toFixed(value < 10 ? 1 : 0)} ${["B", "kB", "MB", "GB", "TB"][step]}`;
}

/** Seconds as on a clock: 0:07, 12:34, 1:02:03. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (value) => String(value).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/** Seconds as people say them, of something that is not exact. */
export function roughly(seconds) {
  if (seconds < 5) return "a few seconds";
  if (seconds < 90) return `about ${Math.ceil(seconds / 5) * 5} seconds`;
  if (seconds < 90 * 60) return `about ${Math.round(seconds / 60)} minutes`;
  return `about ${Math.round(seconds / 360) / 10} hours`;
}

export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

/** A moment, as the clock on the wall here has it. */
export function moment(iso) {
  if (!iso) return "";
  const at = new Date(iso);
  const today = at.toDateString() === new Date().toDateString();
  return at.toLocaleString([], today ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" });
}

/** What an estimate of a status answer says, or "". */
export function timeLeft(estimate) {
  if (!estimate) return "";
  if (estimate.workers === 0) return "No worker is running: it waits until one comes.";
  const ahead = estimate.ahead_items ? `at most ${count(estimate.ahead_items, "recording")} ahead of it` : "";
  if (typeof estimate.seconds_left !== "number") return capital(ahead);
  return [`${capital(roughly(estimate.seconds_left))} left`, ahead].filter(Boolean).join(", ");
}

export function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
