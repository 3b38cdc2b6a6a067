/** Asks for the key, where there is none. */

import { explainError } from "./words.js";
import { entitle, h } from "./dom.js";
import { problem, title } from "./parts.js";
import { isKey, session } from "./session.js";
import { tryKey } from "./api.js";

/** @param {string} why There is none any more. */
export function keyView(why) {
  const input = h("input", {
    id: "key",
    type: "password",
    autocomplete: "off",
    spellcheck: false,
    required: true,
    "aria-describedby": "key-hint",
  });
  const button = h("button", { type: "submit", className: "primary" }, "Continue");
  const answer = h("div", { "aria-live": "assertive" }, why && problem({ title: why, detail: "Enter another one." }));
  const refuse = (wrong) => {
    answer.replaceChildren(problem(wrong));
    input.setAttribute("aria-invalid", "true");
    input.focus();
  };

  async function enter(event) {
    event.preventDefault();
    const key = input.value.trim();
    if (!isKey(key)) return refuse({ title: "This cannot be a key.", detail: "A key has letters, digits and signs, and no spaces." });
    button.disabled = true;
    try {
      await tryKey(key);
      session.keep(key);
    } catch (error) {
      button.disabled = false;
      refuse(explainError(error));
    }
  }

  entitle("Your key");
  return {
    element: h(
      "section",
      { className: "narrow" },
      title("Transcribe recordings"),
      h("p", { className: "lead" }, "Drop recordings here, and read along while you listen to them."),
      answer,
      h(
        "form",
        { className: "card", onsubmit: enter },
        h("label", { for: "key" }, "API key"),
        input,
        h("p", { id: "key-hint", className: "hint" }, "It stays in this tab and goes with it. On your own machine it is in the file .asr-queue/api-key; else ask whoever runs this server."),
        button,
      ),
    ),
  };
}
