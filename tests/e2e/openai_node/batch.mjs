// The `openai` package of npm, as it comes: a batch of as many lines as are asked for. Prints what came of it, as JSON.
import fs from "node:fs";
import OpenAI, { toFile } from "openai";

const [baseURL, apiKey, recording, lines] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey });
const audio = await client.files.create({ file: fs.createReadStream(recording), purpose: "user_data" });
const requests = Array.from({ length: Number(lines) }, (_, number) => ({
  custom_id: `line-${number}`,
  method: "POST",
  url: "/v1/audio/transcriptions",
  body: { model: "whisper-1", file_id: audio.id, language: "en" },
}));
const input = await client.files.create({
  file: await toFile(Buffer.from(requests.map((one) => JSON.stringify(one)).join("\n")), "lines.jsonl"),
  purpose: "batch",
});
let batch = await client.batches.create({
  input_file_id: input.id,
  endpoint: "/v1/audio/transcriptions",
  completion_window: "24h",
});
while (!["completed", "failed", "cancelled", "expired"].includes(batch.status)) {
  await new Promise((wake) => setTimeout(wake, 500));
  batch = await client.batches.retrieve(batch.id);
}
const output = await (await client.files.content(batch.output_file_id)).text();
console.log(JSON.stringify({ batch, output: output.trim().split("\n").map((line) => JSON.parse(line)) }));
