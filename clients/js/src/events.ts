/** What happens in a stream. Fields that come from the wire have the wire's names. */

import type { TailraceError } from "./errors.ts";

export type FinishReason = "stop" | "length" | "tool_calls" | "content_filter";

/** How many tokens went in and came out; `source` says how sure that is. What is not known is left out. */
export interface Usage {
  readonly input_tokens?: number;
  readonly output_tokens?: number;
  readonly reasoning_tokens?: number;
  readonly cached_input_tokens?: number;
  readonly source: "reported" | "counted" | "estimated";
}

/** A call of a tool; `arguments` is JSON text. */
export interface ToolCall {
  readonly index: number;
  readonly id: string;
  readonly name: string;
  readonly arguments: string;
}

/** The server has the request: from here on the answer can be attached to and cancelled by its id, from anywhere. */
export interface Started {
  readonly type: "started";
  readonly id: string;
}

/** A piece of the answer. After a reconnect several of the model's tokens may come as one piece. */
export interface Text {
  readonly type: "text";
  readonly text: string;
  readonly tokens: number;
}

/** A piece of the model's reasoning. */
export interface Reasoning {
  readonly type: "reasoning";
  readonly text: string;
}

/** The model began to call a tool; `index` counts the answer's calls from 0. */
export interface ToolCallStarted {
  readonly type: "tool_call";
  readonly index: number;
  readonly id: string;
  readonly name: string;
}

/** A piece of the JSON text of the arguments of call `index`. */
export interface ToolCallDelta {
  readonly type: "tool_call_delta";
  readonly index: number;
  readonly arguments: string;
}

/** The final count, right before the end. */
export interface UsageReported {
  readonly type: "usage";
  readonly usage: Usage;
}

/** The answer is whole. The last event of every stream that does not throw. */
export interface Finished {
  readonly type: "finished";
  readonly reason: FinishReason;
  readonly model: string;
}

/** The connection is gone, and will be opened anew in `delay_ms`, or sooner when the page wakes. Nothing is lost. */
export interface Reconnecting {
  readonly type: "reconnecting";
  readonly attempt: number;
  readonly delay_ms: number;
  readonly cause: TailraceError;
}

/** The connection is back, and the stream goes on where it was cut. */
export interface Reconnected {
  readonly type: "reconnected";
}

/** What a stream yields. The content is in `text`, `reasoning`, `tool_call` and `tool_call_delta`. */
export type StreamEvent =
  Started | Text | Reasoning | ToolCallStarted | ToolCallDelta | UsageReported | Finished | Reconnecting | Reconnected;

/** A whole answer. */
export interface Answer {
  readonly id: string;
  readonly model: string;
  readonly text: string;
  readonly reasoning: string;
  readonly tool_calls: readonly ToolCall[];
  readonly finish_reason: FinishReason;
  readonly usage: Usage;
}

/** Where a stream stands; `usage` is null while it runs. */
export interface StreamState {
  readonly id: string;
  readonly status: "running" | "finished" | "aborted" | "failed" | "interrupted";
  readonly model: string | null;
  readonly format: string;
  readonly created_at: number;
  readonly entries: number;
  readonly text?: string;
  readonly finish_reason?: FinishReason;
  readonly error?: { readonly code: string; readonly message: string };
  readonly usage: Usage | null;
}
