/** A transcript as it is read: words with what stands between them, in paragraphs. */

const PAUSE_S = 1.2;
const MOST_WORDS = 90;
const ENDS = /[.!?…。！？؟।]["'”’»)\]]*$/u;

/**
 * Return paragraphs of words: a new one begins after a sentence that a pause follows, or that ends a long one.
 *
 * @param {string} text
 * @param {{start: number, end: number, text: string}[]} words In order.
 * @returns {{startS: number, words: {index: number, text: string, before: string}[]}[]} `before` is what the text has
 *     before the word: a space, or nothing in languages that write none.
 */
export function paragraphs(text, words) {
  const found = [];
  let current = null;
  let at = 0;
  words.forEach((word, index) => {
    const place = text.indexOf(word.text, at);
    // A word that the text has elsewhere only is none of this place.
    const isNext = place >= 0 && text.slice(at, place).trim() === "";
    const before = isNext ? text.slice(at, place) : " ";
    if (isNext) at = place + word.text.length;
    const last = words[index - 1];
    const isNew =
      current === null ||
      (ENDS.test(last.text) && (word.start - last.end >= PAUSE_S || current.words.length >= MOST_WORDS));
    if (isNew) found.push((current = { startS: word.start, words: [] }));
    current.words.push({ index, text: word.text, before: current.words.length ? before : "" });
  });
  return found;
}

/** Return the index of the last word that has begun at a time, -1 before the first: `starts` only grow. */
export function wordAt(starts, timeS) {
  let [low, high] = [0, starts.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (starts[middle] <= timeS) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
