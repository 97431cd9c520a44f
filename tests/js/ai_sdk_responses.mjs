// The AI SDK's OpenAI provider as it is by default: it speaks the Responses API. One argument, JSON; prints what each
// turn of the conversation came to. Tools answer themselves, and go back in until the model calls none; with `abortOn`
// the last turn is aborted at its first part of that type.
import { createOpenAI } from "@ai-sdk/openai";
import { isStepCount, jsonSchema, streamText, tool } from "ai";

const { baseURL, model, prompts, tools = {}, search = false, steps = 1, abortOn, ...settings } = JSON.parse(process.argv[2]);
const openai = createOpenAI({ baseURL, apiKey: "any text" });

async function converse(messages, { abortOn }) {
  const controller = new AbortController();
  const found = { types: [], text: "", reasoning: "", calls: [], usage: null, finishReason: null, error: null };
  const result = streamText({
    model: openai(model),
    messages,
    maxRetries: 0,
    stopWhen: isStepCount(steps),
    tools: {
      ...Object.fromEntries(
        Object.entries(tools).map(([name, schema]) => [
          name,
          tool({ inputSchema: jsonSchema(schema), execute: async (input) => ({ seen: input }) }),
        ]),
      ),
      ...(search ? { web_search: openai.tools.webSearch({}) } : {}),
    },
    abortSignal: controller.signal,
    onError: () => {},
    ...settings,
  });
  for await (const part of result.fullStream) {
    found.types.push(part.type);
    if (part.type === "text-delta") found.text += part.text;
    if (part.type === "reasoning-delta") found.reasoning += part.text;
    if (part.type === "tool-call") found.calls.push({ id: part.toolCallId, name: part.toolName, input: part.input });
    if (part.type === "error") found.error ??= String(part.error?.message ?? JSON.stringify(part.error));
    if (part.type === "finish") Object.assign(found, { usage: part.totalUsage, finishReason: part.finishReason });
    if (part.type === abortOn) controller.abort();
  }
  const said = found.error === null && abortOn === undefined ? (await result.response).messages : [];
  return { found, said };
}

const messages = [];
const turns = [];
for (const [place, prompt] of prompts.entries()) {
  messages.push({ role: "user", content: prompt });
  const last = place === prompts.length - 1;
  const { found, said } = await converse(messages, { abortOn: last ? abortOn : undefined });
  messages.push(...said);
  turns.push(found);
}
console.log(JSON.stringify(turns));
