// The AI SDK in the hands of a test. Commands come as JSON, a line each, and run beside each other; each is answered
// with a line {"id", "result"} or {"id", "error"}. It ends when its input does.
import { createInterface } from "node:readline";

import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import {
  DefaultChatTransport,
  convertToModelMessages,
  jsonSchema,
  readUIMessageStream,
  streamText,
  tool,
} from "ai";

import { Chat } from "./ai_sdk_chat.mjs";

const chats = new Map();

// What the client makes of a stream's bytes.
async function read({ stream }) {
  const answer = () => new Response(stream, { headers: { "content-type": "text/event-stream" } });
  const transport = new DefaultChatTransport({ fetch: async () => answer() });
  const [chunks, kept] = (await transport.sendMessages({ messages: [], chatId: "c" })).tee();
  const found = { chunks: [], message: null, error: null };
  const fail = (error) => {
    found.error ??= error.message;
  };
  const collect = async () => {
    for await (const chunk of chunks) found.chunks.push(chunk);
  };
  const assemble = async () => {
    for await (const message of readUIMessageStream({ stream: kept, onError: fail })) found.message = message;
  };
  await Promise.all([collect().catch(fail), assemble().catch(fail)]);
  return found;
}

const PROVIDERS = {
  "openai-compatible": (options, model) =>
    createOpenAICompatible({ name: "tailrace", includeUsage: true, ...options })(model),
  openai: (options, model) => createOpenAI(options).chat(model),
  anthropic: (options, model) => createAnthropic(options)(model),
};

// An answer by a provider of the SDK's; `tools` are names with their schemas, and with `abortOn` it is aborted at the first part of that type.
async function generate({ provider, baseURL, model, prompt, tools = {}, abortOn, ...settings }) {
  const controller = new AbortController();
  const found = { types: [], text: "", reasoning: "", calls: [], usage: null, finishReason: null, error: null };
  const result = streamText({
    model: PROVIDERS[provider]({ baseURL, apiKey: "any text" }, model),
    prompt,
    maxRetries: 0,
    tools: Object.fromEntries(
      Object.entries(tools).map(([name, schema]) => [name, tool({ inputSchema: jsonSchema(schema) })]),
    ),
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
  return found;
}

const COMMANDS = {
  read,
  generate,
  convert: ({ messages }) => convertToModelMessages(messages),
  open: ({ chat, name, ...options }) =>
    void chats.set(chat, new Chat({ id: name ?? chat, transport: new DefaultChatTransport(options) })),
  describe: () => {},
  send: ({ chat, ...message }) => chats.get(chat).sendMessage(message),
  regenerate: ({ chat }) => chats.get(chat).regenerate(),
  resume: ({ chat }) => chats.get(chat).resumeStream(),
  until: ({ chat, text }) => chats.get(chat).until(text),
  stop: ({ chat }) => chats.get(chat).stop(),
  output: ({ chat, ...output }) => chats.get(chat).addToolOutput(output),
  proceed: ({ chat }) => chats.get(chat).sendMessage(),
};

async function run({ id, command, ...options }) {
  try {
    const result = await COMMANDS[command](options);
    return { id, result: options.chat ? chats.get(options.chat).describe() : (result ?? null) };
  } catch (error) {
    return { id, error: String(error.stack ?? error) };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  run(JSON.parse(line)).then((answer) => process.stdout.write(`${JSON.stringify(answer)}\n`));
}
process.exit(0);
