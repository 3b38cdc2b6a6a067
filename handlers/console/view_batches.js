/** The batches of this key's owner, newest first. */

import { QUEUE, call } from "./api.js";
import { choice, pill, problem, title } from "./parts.js";
import { count, explainError, moment } from "./words.js";
import { entitle, h, put, say } from "./dom.js";

const STATES = [["", "All"], ["queued", "In the queue"], ["processing", "Transcribing"], ["completed", "Done"], ["partial", "Some failed"], ["error", "All failed"]];
const A_PAGE = 25;

export function batchesView() {
  const leaving = new AbortController();
  const list = h("ul", { className: "recordings" });
  const note = h("p", { className: "hint", role: "status" });
  const more = h("button", { type: "button", hidden: true, onclick: () => load({ isNew: false }) }, "Show more");
  const wrong = h("div");
  const state = choice("State", STATES, { id: "state", value: "", onchange: () => load({ isNew: true }) });
  const label = h("input", { type: "search", id: "search", oninput: () => (clearTimeout(timer), (timer = setTimeout(() => load({ isNew: true }), 300))) });
  let timer = 0;
  let cursor = null;
  let asked = 0;

  async function load({ isNew }) {
    const mine = (asked += 1);
    try {
      const found = [];
      let next = isNew ? null : cursor;
      do {
        const page = await (await call(`${QUEUE}/batches?${query(next)}`, { signal: leaving.signal })).json();
        if (mine !== asked) return; // something else was asked for meanwhile
        found.push(...page.batches);
        next = page.next_cursor;
      } while (found.length === 0 && next !== null); // a page that was filtered may have nothing on it
      if (isNew) list.replaceChildren();
      list.append(...found.map(batchRow));
      cursor = next;
      more.hidden = cursor === null;
      const shown = list.childElementCount;
      put(note, shown ? "" : "There are none.");
      say(`${count(shown, "batch", "batches")} shown.`);
      wrong.replaceChildren();
    } catch (error) {
      if (!leaving.signal.aborted) wrong.replaceChildren(problem(explainError(error)));
    }
  }

  function query(next) {
    const wanted = { limit: String(A_PAGE), state: state.select.value, label: label.value, cursor: next };
    return new URLSearchParams(Object.entries(wanted).filter(([, value]) => value));
  }

  load({ isNew: true });
  entitle("Batches");
  return {
    element: h(
      "section",
      {},
      title("Batches"),
      h("div", { className: "filters", role: "search" }, state.field, h("label", { className: "field" }, h("span", {}, "Name, exactly"), label)),
      wrong,
      note,
      list,
      more,
    ),
    leave: () => (clearTimeout(timer), leaving.abort()),
  };
}

function batchRow(batch) {
  const name = batch.label || "Batch without a name";
  const told = [moment(batch.created_at), `${batch.completed} of ${batch.total} done`, batch.failed ? `${batch.failed} failed` : ""];
  return h(
    "li",
    { className: "recording" },
    h("div", { className: "what" }, h("a", { className: "name", href: `#/batches/${batch.batch_id}` }, name), h("p", { className: "hint" }, told.filter(Boolean).join(" · "))),
    h("div", { className: "then" }, pill(batch.status)),
  );
}
