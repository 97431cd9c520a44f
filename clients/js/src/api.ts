/** What the server keeps beside the streams: models, conversations, states, usage. Each throws a TailraceError. */

import type { Client } from "./client.ts";
import type { StreamState, Usage } from "./events.ts";
import { streamPath } from "./stream.ts";

/** A model that may be asked. */
export interface Model {
  readonly id: string;
  readonly created: number;
  readonly owned_by: string;
}

/** A conversation's face; times are Unix seconds. */
export interface Session {
  readonly id: string;
  readonly title: string;
  readonly created_at: number;
  readonly updated_at: number;
}

/** A message that is kept; `partial`: its answer was cut, cancelled or left. */
export interface SessionMessage {
  readonly id: string;
  readonly role: "system" | "user" | "assistant" | "tool";
  readonly content: string | readonly MessageContent[];
  readonly created_at: number;
  readonly status: "whole" | "partial";
  readonly generation_id?: string;
}

/** A part of a message that holds more than text. */
export interface MessageContent {
  readonly type: "text" | "image" | "reasoning" | "tool_call" | "tool_result";
  readonly text?: string;
  readonly [field: string]: unknown;
}

/** Some of a list, and where the rest begins. */
export interface Page<T> {
  readonly data: readonly T[];
  readonly next_cursor: string | null;
}

/** Which part of a list. */
export interface PageQuery {
  readonly limit?: number;
  readonly cursor?: string;
}

/** What one key, model or day has used, or what came to one status; the name of what it is of stands in the field of that name. */
export interface UsageSum {
  readonly key_id?: string;
  readonly model?: string;
  readonly day?: string;
  readonly status?: StreamState["status"];
  readonly generations: number;
  readonly input_tokens: number;
  readonly output_tokens: number;
  readonly reasoning_tokens: number;
  readonly cached_input_tokens: number;
  readonly delivered_tokens: number;
  readonly cost_usd: number;
  /** How many of the answers had no price. */
  readonly unpriced: number;
}

/** One answer as the ledger has it. */
export interface GenerationRow {
  readonly id: string;
  readonly created_at: number;
  readonly key_id: string;
  readonly user: string | null;
  readonly provider: string;
  readonly model: string;
  readonly session_id: string | null;
  readonly status: StreamState["status"];
  readonly reason: string | null;
  readonly input_tokens: number | null;
  readonly output_tokens: number | null;
  readonly reasoning_tokens: number | null;
  readonly cached_input_tokens: number | null;
  readonly source: Usage["source"] | null;
  readonly delivered_tokens: number | null;
  readonly cost_usd: number | null;
  readonly ttft_ms: number | null;
  readonly duration_ms: number | null;
}

/** What a browser token is to allow; see `POST /v1/tokens`. */
export interface TokenTerms {
  readonly ttl_seconds?: number;
  readonly user?: string;
  readonly session_id?: string;
  readonly models?: readonly string[];
  readonly origin?: string;
}

/** A browser token. */
export interface Token {
  readonly token: string;
  readonly expires_at: number;
}

/** The models that may be asked. */
export async function models(client: Client): Promise<readonly Model[]> {
  return (await client.request<Page<Model>>("/v1/models")).data;
}

/** Where a stream stands, and its text so far. */
export function state(client: Client, streamId: string): Promise<StreamState> {
  return client.request(streamPath(streamId));
}

/** The caller's streams that the server still has, newest first. */
export async function streams(client: Client): Promise<readonly StreamState[]> {
  return (await client.request<Page<StreamState>>("/v1/streams")).data;
}

/** The conversations that are kept, the last used first. */
export function sessions(client: Client, query: PageQuery = {}): Promise<Page<Session>> {
  return client.request("/v1/sessions", { query: { ...query } });
}

/** A conversation in order. */
export function session(client: Client, id: string): Promise<{ id: string; messages: readonly SessionMessage[] }> {
  return client.request(sessionPath(id));
}

/** Forget a conversation; its usage stays. */
export function deleteSession(client: Client, id: string): Promise<void> {
  return client.request(sessionPath(id), { method: "DELETE" });
}

/** What was used, summed; `since` is a span such as `7d`, or a date. */
export async function usage(
  client: Client,
  query: { readonly by?: "key" | "model" | "day" | "status"; readonly since?: string } = {},
): Promise<readonly UsageSum[]> {
  return (await client.request<Page<UsageSum>>("/v1/usage", { query })).data;
}

/** Answer by answer, newest first. */
export function generations(client: Client, query: PageQuery = {}): Promise<Page<GenerationRow>> {
  return client.request("/v1/usage/generations", { query: { ...query } });
}

/** A token for a browser, made by your own server with its key. */
export function createToken(client: Client, terms: TokenTerms = {}): Promise<Token> {
  return client.request("/v1/tokens", { method: "POST", body: terms });
}

function sessionPath(id: string): string {
  return `/v1/sessions/${encodeURIComponent(id)}`;
}
