// Anthropic's client in the hands of a test.
import Anthropic from "@anthropic-ai/sdk";

import { obey } from "./commands.mjs";

const clients = new Map();

function clientOf(baseURL) {
  if (!clients.has(baseURL)) clients.set(baseURL, new Anthropic({ baseURL, apiKey: "any text", maxRetries: 0 }));
  return clients.get(baseURL);
}

function describe(error) {
  return { class: error.constructor.name, status: error.status, type: error.type, message: error.message };
}

async function attempt(found, work) {
  try {
    await work(found);
  } catch (error) {
    found.error = describe(error);
  }
  return found;
}

// The client's helper; with `abortOn: true` it is aborted at its first text.
const stream = ({ baseURL, abortOn, ...body }) =>
  attempt({ text: "", thinking: "", inputs: 0, message: null, error: null }, async (found) => {
    const told = clientOf(baseURL).messages.stream(body);
    told.on("text", (delta) => {
      found.text += delta;
      if (abortOn) told.abort();
    });
    told.on("thinking", (delta) => (found.thinking += delta));
    told.on("inputJson", () => (found.inputs += 1));
    found.message = await told.finalMessage();
  });

// The events as they come.
const events = ({ baseURL, ...body }) =>
  attempt({ types: [], error: null }, async (found) => {
    for await (const event of await clientOf(baseURL).messages.create({ ...body, stream: true })) {
      found.types.push(event.type);
    }
  });

const message = ({ baseURL, ...body }) =>
  attempt({ message: null, error: null }, async (found) => {
    found.message = await clientOf(baseURL).messages.create(body);
  });

const count = ({ baseURL, ...body }) =>
  attempt({ tokens: null, error: null }, async (found) => {
    found.tokens = (await clientOf(baseURL).messages.countTokens(body)).input_tokens;
  });

await obey({ stream, events, message, count });
