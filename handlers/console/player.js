/** Ties words to a recording: the spoken one is marked, and each leads to its second. */

import { wordAt } from "./reading.js";

const AFTER_S = 1; // how long a word stays marked when nothing follows it
const EARLY_S = 0.02; // a browser's clock may stop a little before the second that it was sent to

/**
 * @param {HTMLAudioElement} audio
 * @param {HTMLElement} place Holds the words.
 * @param {HTMLButtonElement[]} buttons One a word, in order.
 * @param {{start: number, end: number}[]} words
 * @param {{isFollowing: () => boolean}} how
 * @returns {() => void} Unties them.
 */
export function tie(audio, place, buttons, words, { isFollowing }) {
  const starts = words.map((word) => word.start);
  let marked = -1;
  let frame = 0;

  function mark() {
    const timeS = audio.currentTime + EARLY_S;
    const at = wordAt(starts, timeS);
    const isOver = at >= 0 && timeS > Math.max(words[at].end, starts[at + 1] ?? 0) + AFTER_S;
    const now = isOver || !audio.currentSrc ? -1 : at;
    if (now === marked) return;
    buttons[marked]?.removeAttribute("aria-current");
    marked = now;
    if (now < 0) return;
    buttons[now].setAttribute("aria-current", "true");
    if (!audio.paused && isFollowing()) buttons[now].scrollIntoView({ block: "nearest" });
  }

  function each() {
    mark();
    frame = requestAnimationFrame(each);
  }

  function go(index) {
    stop(index);
    if (!audio.currentSrc) return;
    audio.currentTime = starts[index];
    audio.play().catch(() => {}); // refused where it cannot play at all, of which its own error tells
  }

  /** Make a word the one that the tab key leads to. */
  function stop(index) {
    place.querySelector('[tabindex="0"]')?.setAttribute("tabindex", "-1");
    buttons[index].setAttribute("tabindex", "0");
  }

  function move(event) {
    const from = buttons.indexOf(event.target);
    const to = from < 0 ? undefined : next(event, from);
    if (to === undefined) return;
    event.preventDefault();
    const index = Math.min(Math.max(to, 0), buttons.length - 1);
    stop(index);
    buttons[index].focus();
  }

  function next(event, from) {
    const [back, on] = getComputedStyle(place).direction === "rtl" ? ["ArrowRight", "ArrowLeft"] : ["ArrowLeft", "ArrowRight"];
    switch (event.key) {
      case back:
        return from - 1;
      case on:
        return from + 1;
      case "ArrowUp":
        return buttons.indexOf(firstOf(event.target, "previousElementSibling"));
      case "ArrowDown":
        return Math.max(buttons.indexOf(firstOf(event.target, "nextElementSibling")), from);
      case "Home":
        return 0;
      case "End":
        return buttons.length - 1;
    }
    return undefined;
  }

  /** Return the first word of the paragraph before or after. */
  function firstOf(button, where) {
    return button.closest(".paragraph")[where]?.querySelector("button");
  }

  const clicked = (event) => {
    const index = buttons.indexOf(event.target.closest("button"));
    if (index >= 0) go(index);
  };
  const playing = () => (cancelAnimationFrame(frame), each());
  const resting = () => (cancelAnimationFrame(frame), mark());
  const listeners = [
    [place, "click", clicked],
    [place, "keydown", move],
    [audio, "play", playing],
    [audio, "pause", resting],
    [audio, "seeked", mark],
    [audio, "emptied", mark],
  ];
  for (const [target, name, listener] of listeners) target.addEventListener(name, listener);
  if (buttons.length) stop(0);
  return () => {
    cancelAnimationFrame(frame);
    for (const [target, name, listener] of listeners) target.removeEventListener(name, listener);
  };
}
