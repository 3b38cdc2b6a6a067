// The `openai` package of npm, as it comes: one recording in every format. Prints what it was answered, as JSON.
import fs from "node:fs";
import OpenAI from "openai";

const [baseURL, apiKey, recording] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey });
const answers = {};
for (const response_format of ["json", "text", "srt", "vtt", "verbose_json"]) {
  answers[response_format] = await client.audio.transcriptions.create({
    file: fs.createReadStream(recording),
    model: "whisper-1",
    response_format,
    ...(response_format === "verbose_json" ? { timestamp_granularities: ["word", "segment"] } : {}),
  });
}
try {
  await client.audio.transcriptions.create({ file: new File(["no audio"], "a.wav"), model: "whisper-1" });
} catch (error) {
  answers.error = { name: error.constructor.name, status: error.status, code: error.code, message: error.message };
}
console.log(JSON.stringify(answers));
