/** Messages as the server keeps them, read for the page. */

import type { MessageContent, SessionMessage } from "tailrace/api";

import type { Content } from "./answer.ts";

/** What a user has said; images by their kind alone. */
export function questionText({ content }: SessionMessage): string {
  return typeof content === "string" ? content : content.map(sayPart).filter(Boolean).join("\n");
}

/** What a model has said. */
export function answerContent({ content }: SessionMessage): Content {
  if (typeof content === "string") return { text: content, reasoning: "", toolCalls: [] };
  const calls = content.filter(({ type }) => type === "tool_call");
  return { text: textOf(content, "text"), reasoning: textOf(content, "reasoning"), toolCalls: calls.map(readCall) };
}

function textOf(parts: readonly MessageContent[], type: MessageContent["type"]): string {
  return parts
    .filter((part) => part.type === type)
    .map(({ text }) => text ?? "")
    .join("");
}

function readCall(part: MessageContent): Content["toolCalls"][number] {
  return { id: String(part["id"]), name: String(part["name"]), arguments: String(part["arguments"] ?? "") };
}

function sayPart(part: MessageContent): string {
  if (part.text !== undefined) return part.text;
  return part.type === "tool_result" ? String(part["content"] ?? part["result"] ?? "") : `[${part.type}]`;
}
