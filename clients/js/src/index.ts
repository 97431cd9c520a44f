/** tailrace's client: streams of typed events that resume by themselves. */

export type { RetryOptions } from "./backoff.ts";
export { createClient, type AttachOptions, type Client, type StreamOptions } from "./client.ts";
export {
  StreamError,
  TailraceError,
  type ClientCode,
  type ErrorCode,
  type ErrorDetails,
  type FailureCode,
} from "./errors.ts";
export type {
  Answer,
  Finished,
  FinishReason,
  Reasoning,
  Reconnected,
  Reconnecting,
  Started,
  StreamEvent,
  StreamState,
  Text,
  ToolCall,
  ToolCallDelta,
  ToolCallStarted,
  Usage,
  UsageReported,
} from "./events.ts";
export type { ClientOptions, Credential, Exchange } from "./http.ts";
export { merge, type Failed, type Tagged } from "./merge.ts";
export type { ChatRequest, Message, MessagePart, OnDisconnect, Tool } from "./requests.ts";
export type { ReadOptions, Stream } from "./stream.ts";
