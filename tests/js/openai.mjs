// OpenAI's client in the hands of a test.
import OpenAI from "openai";

import { obey } from "./commands.mjs";

const clients = new Map();

function clientOf(baseURL) {
  if (!clients.has(baseURL)) clients.set(baseURL, new OpenAI({ baseURL, apiKey: "any text", maxRetries: 0 }));
  return clients.get(baseURL);
}

function describe(error) {
  const { status, code, param, type, message } = error;
  return { class: error.constructor.name, status, code, param, type, message };
}

// What a command comes to, with what the client threw; `found` keeps what came before.
async function attempt(found, work) {
  try {
    await work(found);
  } catch (error) {
    found.error = describe(error);
  }
  return found;
}

// With `abortOn: true` the stream is left at its first text.
const chat = ({ baseURL, abortOn, ...body }) =>
  attempt({ text: "", reasoning: "", pieces: 0, calls: [], usage: null, finish: null, error: null }, async (found) => {
    const stream = await clientOf(baseURL).chat.completions.create({ ...body, stream: true });
    for await (const chunk of stream) {
      found.usage = chunk.usage ?? found.usage;
      for (const { delta, finish_reason } of chunk.choices) {
        found.text += delta.content ?? "";
        found.reasoning += delta.reasoning_content ?? "";
        found.finish = finish_reason ?? found.finish;
        for (const { index, id, function: piece } of delta.tool_calls ?? []) {
          found.pieces += 1;
          found.calls[index] ??= { id, name: piece.name, arguments: "" };
          found.calls[index].arguments += piece.arguments ?? "";
        }
      }
      if (abortOn && found.text) stream.controller.abort();
    }
  });

const completion = ({ baseURL, ...body }) =>
  attempt({ completion: null, error: null }, async (found) => {
    found.completion = await clientOf(baseURL).chat.completions.create(body);
  });

// The client's helper for a whole stream.
const helper = ({ baseURL, ...body }) =>
  attempt({ contents: "", completion: null, error: null }, async (found) => {
    const stream = clientOf(baseURL).chat.completions.stream(body);
    stream.on("content", (delta) => (found.contents += delta));
    found.completion = await stream.finalChatCompletion();
  });

const respond = ({ baseURL, abortOn, ...body }) =>
  attempt({ types: [], numbers: [], text: "", response: null, error: null }, async (found) => {
    const stream = clientOf(baseURL).responses.stream(body);
    for await (const event of stream) {
      found.types.push(event.type);
      found.numbers.push(event.sequence_number);
      if (event.type === "response.output_text.delta") found.text += event.delta;
      if (abortOn && found.text) stream.abort();
    }
    found.response = await stream.finalResponse();
  });

const response = ({ baseURL, ...body }) =>
  attempt({ response: null, error: null }, async (found) => {
    found.response = await clientOf(baseURL).responses.create(body);
  });

// The numbers of a stored response's events above `starting_after`.
const retrieve = ({ baseURL, response, starting_after }) =>
  attempt({ numbers: [], error: null }, async (found) => {
    const stream = await clientOf(baseURL).responses.retrieve(response, { stream: true, starting_after });
    for await (const event of stream) found.numbers.push(event.sequence_number);
  });

await obey({ chat, completion, helper, respond, response, retrieve });
