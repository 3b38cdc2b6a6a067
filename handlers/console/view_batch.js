/** One batch, whoever submitted it: how far it is, its recordings, everything of it in one file. */

import { QUEUE, call, fresh } from "./api.js";
import { FORMATS, download, fileName } from "./download.js";
import { choice, facts, pill, problem, redraw, title, wordsOf } from "./parts.js";
import { clock, count, explain, explainError, moment, roughly, timeLeft } from "./words.js";
import { entitle, h, put, say } from "./dom.js";
import { isFinished, watcher } from "./watcher.js";
import { isSpeech } from "./view_speech.js";

export function batchView({ batchId }) {
  const heading = title("Batch");
  const about = h("div");
  const bar = h("progress", { max: 1, "aria-label": "Of the batch", hidden: true });
  const left = h("p", { className: "hint" });
  const items = h("ul", { className: "recordings" });
  const answer = h("p", { className: "hint", role: "status" });
  const steps = h("div", { className: "tools" });
  const element = h(
    "section",
    {},
    h("p", { className: "back" }, h("a", { href: "#/batches" }, "← All batches")),
    heading,
    about,
    bar,
    left,
    steps,
    answer,
    items,
  );
  const rows = new Map();
  let drawnSteps = "";

  function draw(batch, error) {
    if (error !== null) {
      for (const place of [bar, steps, items, left, answer]) place.remove();
      return about.replaceChildren(problem(explainError(error)));
    }
    put(heading, batch.label || "Batch without a name");
    entitle(batch.label || "Batch");
    redraw(about, summary(batch));
    bar.hidden = isFinished(batch);
    bar.value = partOf(batch);
    put(left, isFinished(batch) ? "" : timeLeft(batch.estimate));
    batch.items.forEach((item, index) => {
      const row = rows.get(item.item_id) ?? itemRow(batch, index);
      if (!rows.has(item.item_id)) items.append(row.element);
      rows.set(item.item_id, row);
      row.draw(item);
    });
    const now = `${isFinished(batch)} ${batch.completed > 0} ${batch.failed > 0}`;
    if (now !== drawnSteps) redraw(steps, ...stepsOf(batch, answer));
    if (drawnSteps && now !== drawnSteps && isFinished(batch)) say(`The batch is finished: ${batch.completed} done, ${batch.failed} failed.`);
    drawnSteps = now;
  }

  entitle("Batch");
  return { element, leave: watcher.watch(batchId, draw) };
}

function partOf(batch) {
  const { done, total } = batch.audio_s ?? {};
  return total ? Math.min(done / total, 1) : (batch.completed + batch.failed) / batch.total;
}

function summary(batch) {
  const sums = batch.audio_s;
  return facts([
    ["State", pill(batch.status)],
    ["Recordings", count(batch.total, "recording")],
    ["Done", String(batch.completed)],
    ["Failed", batch.failed ? String(batch.failed) : null],
    ["Audio", sums?.total ? `${clock(sums.done)} of ${sums.is_estimate ? "about " : ""}${clock(sums.total)}` : null],
    ["Priority", batch.priority && batch.priority !== "normal" ? batch.priority : null],
    ["Submitted", moment(batch.created_at)],
    ["Finished", moment(batch.finished_at)],
    ["Time on the device", batch.device_s ? roughly(batch.device_s) : null],
    ["Cost", typeof batch.cost_usd === "number" ? `${batch.cost_usd.toFixed(4)} USD` : null],
  ]);
}

function itemRow(batch, index) {
  const place = h("li", { className: "recording" });
  let drawn = "";
  return {
    element: place,
    draw(item) {
      const now = `${item.status} ${item.error_code} ${item.audio_s}`;
      if (now === drawn) return;
      drawn = now;
      const name = item.custom_id || `Recording ${index + 1}`;
      const wrong = item.status === "error" ? explain(item.error_code, item.error ?? "") : null;
      const verb = isSpeech(item) ? "Listen to" : "Read";
      const link = h(
        "a",
        { className: "button", href: `#/batches/${batch.batch_id}/${item.item_id}`, "aria-label": `${verb} ${name}`, "data-focus": item.item_id },
        verb.split(" ")[0],
      );
      redraw(
        place,
        h(
          "div",
          { className: "what" },
          h("span", { className: "name" }, name),
          h("p", { className: "hint" }, item.audio_s ? clock(item.audio_s) : ""),
        ),
        h("div", { className: "then" }, pill(item.error_code === "cancelled" ? "cancelled" : item.status), item.status === "done" && link),
        wrong && h("p", { className: "wrong" }, ...wordsOf(wrong)),
      );
    },
  };
}

/** What was cancelled is left out of a retry. */
function canBeTried(item) {
  return item.status === "error" && item.error_code !== "cancelled";
}

function stepsOf(batch, answer) {
  const path = `${QUEUE}/batches/${encodeURIComponent(batch.batch_id)}`;
  const format = choice("Format", FORMATS, { id: "format", value: "txt", "data-focus": "format" });
  const run = (work) => async (event) => {
    const button = event.currentTarget;
    button.disabled = true;
    try {
      await work();
    } catch (error) {
      put(answer, explainError(error).title);
    } finally {
      button.disabled = false;
    }
  };
  const save = run(async () => {
    const name = fileName(batch.label || "transcripts", ".zip");
    await download(`${path}/download?format=${format.select.value}&as=zip`, name);
    put(answer, `Saved ${name}.`);
  });
  const again = run(async () => {
    const headers = { "Idempotency-Key": fresh() };
    const { batch_id: made } = await (await call(`${path}/retry`, { method: "POST", headers })).json();
    location.hash = `#/batches/${made}`;
  });
  const cancel = run(async () => {
    const { cancelled } = await (await call(`${path}/cancel`, { method: "POST" })).json();
    put(answer, `${count(cancelled, "recording")} cancelled.`);
  });
  return [
    isFinished(batch) && batch.completed > 0 && h("span", { className: "row" }, format.field, h("button", { type: "button", className: "primary", id: "zip", "data-focus": "zip", onclick: save }, "Download all")),
    isFinished(batch) && batch.items.some(canBeTried) && h("button", { type: "button", id: "again", "data-focus": "again", onclick: again }, "Try the failed ones again"),
    !isFinished(batch) && h("button", { type: "button", id: "cancel", "data-focus": "cancel", onclick: cancel }, "Cancel what is left"),
  ];
}
