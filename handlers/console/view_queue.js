/** What waits on this server, and what works on it. */

import { QUEUE, call, sleep } from "./api.js";
import { capital, count, explainError, moment, roughly } from "./words.js";
import { facts, problem, redraw, title } from "./parts.js";
import { entitle, h } from "./dom.js";

const EVERY_MS = 3000;

export function queueView() {
  const leaving = new AbortController();
  const body = h("div", { className: "spaced" }, h("p", { className: "hint" }, "Loading …"));

  async function follow() {
    for (;;) {
      try {
        redraw(body, ...shown(await (await call(QUEUE, { signal: leaving.signal, tries: 1 })).json()));
      } catch (error) {
        if (leaving.signal.aborted) return;
        redraw(body, problem(explainError(error)));
      }
      await sleep(EVERY_MS, leaving.signal);
    }
  }

  follow().catch((error) => {
    if (!leaving.signal.aborted) throw error;
  });
  entitle("Queue");
  return { element: h("section", {}, title("Queue"), body), leave: () => leaving.abort() };
}

function shown(queue) {
  const sum = (name) => queue.backlog.reduce((total, lane) => total + (lane[name] ?? 0), 0);
  return [
    facts([
      ["Waiting", count(sum("visible"), "recording")],
      ["Being transcribed", count(sum("in_flight"), "recording")],
      ["Audio that waits", queue.waiting_audio_s ? roughly(queue.waiting_audio_s) : "none"],
      ["Speed", queue.audio_s_per_s ? `${queue.audio_s_per_s.toFixed(1)} × real time` : null],
    ]),
    table("Waiting, by priority", ["Priority", "Waiting", "Being transcribed"], queue.backlog.map((lane) => [capital(lane.priority), lane.visible, lane.in_flight])),
    queue.workers.length === 0
      ? h("p", { className: "notice" }, "No worker is running. What is sent waits until one comes.")
      : table("Workers", ["Worker", "Engine", "Has", "Busy", "Filled", "Speed", "Done", "Seen"], queue.workers.map(workerCells)),
  ];
}

function workerCells(worker) {
  const known = (value, text) => (value === null || value === undefined ? "–" : text(value));
  return [
    worker.worker_id.slice(0, 8),
    worker.engine,
    worker.held_items,
    known(worker.busy, (busy) => `${Math.round(busy * 100)} %`),
    known(worker.micro_batch_fill, (fill) => `${Math.round(fill * 100)} %`),
    known(worker.audio_s_per_s, (speed) => `${speed.toFixed(1)} × real time`),
    worker.items_done,
    moment(worker.seen_at),
  ];
}

function table(name, columns, rows) {
  return h(
    "div",
    { className: "scroll", tabIndex: 0, role: "region", "aria-label": name },
    h(
      "table",
      {},
      h("caption", {}, name),
      h("thead", {}, h("tr", {}, ...columns.map((column) => h("th", { scope: "col" }, column)))),
      h("tbody", {}, ...rows.map((row) => h("tr", {}, ...row.map((cell) => h("td", {}, String(cell ?? "–")))))),
    ),
  );
}
