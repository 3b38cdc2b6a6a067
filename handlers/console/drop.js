/** Files of a drop, folders opened; each with the name that it is shown by. */

/** What counts as a recording inside a folder, as for the command line; a test holds it to asr_queue/cli/recordings.py. */
export const SUFFIXES = new Set([
  ".3gp", ".aac", ".ac3", ".aif", ".aifc", ".aiff", ".amr", ".au", ".avi", ".caf", ".flac", ".flv", ".m2ts", ".m4a",
  ".m4b", ".m4v", ".mka", ".mkv", ".mov", ".mp2", ".mp3", ".mp4", ".mpeg", ".mpg", ".oga", ".ogg", ".ogv", ".opus",
  ".spx", ".w64", ".wav", ".weba", ".webm", ".wma", ".wmv",
]);

/**
 * @typedef {{file: File, name: string}} Found
 */

/** Return what was chosen by a picker; of a folder, what sounds. */
export function chosen(files) {
  return [...files]
    .map((file) => ({ file, name: file.webkitRelativePath || file.name }))
    .filter(({ file, name }) => !file.webkitRelativePath || sounds(name));
}

/**
 * Return what was dropped, with what lies in dropped folders.
 *
 * The entries have to be taken before anything is awaited: a drop is over when its event is.
 *
 * @param {DataTransfer} transfer
 * @returns {Promise<Found[]>}
 */
export async function dropped(transfer) {
  const entries = [...transfer.items].filter((item) => item.kind === "file").map((item) => item.webkitGetAsEntry());
  const plain = [...transfer.files];
  if (entries.some((entry) => entry === null)) return chosen(plain);
  const found = [];
  for (const entry of entries) await walk(entry, "", found, { isNamed: true });
  return found;
}

async function walk(entry, folder, found, { isNamed }) {
  const name = folder + entry.name;
  if (entry.isFile) {
    if (isNamed || sounds(name)) found.push({ name, file: await new Promise((yes, no) => entry.file(yes, no)) });
    return;
  }
  if (entry.name.startsWith(".")) return;
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((yes, no) => reader.readEntries(yes, no)); // a hundred at a time, then none
    if (some.length === 0) return;
    for (const inner of some) await walk(inner, `${name}/`, found, { isNamed: false });
  }
}

function sounds(path) {
  const suffix = path.slice(path.lastIndexOf(".")).toLowerCase();
  return SUFFIXES.has(suffix) && !path.split("/").some((part) => part.startsWith("."));
}
