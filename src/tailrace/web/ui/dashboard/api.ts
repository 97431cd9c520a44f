/** What the dashboard asks the server for, each as the server's own `/openapi.json` describes it. */

import { client } from "../shared/client.ts";

/** An answer that is being made; `readers` is null where another process makes it. */
export interface LiveStream {
  readonly id: string;
  readonly created_at: number;
  readonly key_id: string | null;
  readonly key_name: string | null;
  readonly user: string | null;
  readonly provider: string;
  readonly model: string;
  readonly format: string | null;
  readonly session_id: string | null;
  readonly input_tokens: number | null;
  readonly output_tokens: number;
  readonly cost_usd: number | null;
  readonly ttft_ms: number | null;
  readonly readers: number | null;
}

/** An upstream; requests and failures are those of the last five minutes. */
export interface Upstream {
  readonly name: string;
  readonly kind: string | null;
  readonly running: number;
  readonly requests: number;
  readonly failures: number;
  readonly last_failure: { readonly code: string; readonly status: number; readonly at: number } | null;
  readonly last_answer_at: number | null;
}

export interface Percentiles {
  readonly p50: number | null;
  readonly p90: number | null;
  readonly p99: number | null;
}

export interface Overview {
  readonly now: number;
  readonly pid: number;
  readonly draining: boolean;
  readonly ledger_answers: boolean;
  readonly running: number;
  readonly streams: readonly LiveStream[];
  readonly upstreams: readonly Upstream[];
  readonly latency: { readonly first_token_ms: Percentiles; readonly between_tokens_ms: Percentiles };
}

export type Step = "hour" | "day";
export type Split = "model" | "key" | "provider" | "status";

/** Settled usage of one step of time and one group. */
export interface Point {
  readonly starts: number;
  readonly group: string;
  readonly name: string;
  readonly generations: number;
  readonly input_tokens: number;
  readonly output_tokens: number;
  readonly cost_usd: number | null;
  readonly unpriced: number;
}

export interface Spread {
  readonly answers: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
}

/** How long a model's answers took; `model` is null for all of them together. */
export interface Latency {
  readonly model: string | null;
  readonly first_token_ms: Spread | null;
  readonly between_tokens_ms: Spread | null;
}

export interface Budget {
  readonly text: string;
  readonly period: "day" | "month" | "total";
  readonly amount_usd: number;
  readonly spent_usd: number;
  readonly left_usd: number;
  readonly resets_at: number | null;
}

export interface Spending {
  readonly key_id: string;
  readonly key_name: string | null;
  readonly revoked: boolean;
  readonly day_usd: number;
  readonly month_usd: number;
  readonly total_usd: number;
  readonly budget: Budget | null;
}

/** An API key; null is no limit, or never. */
export interface Key {
  readonly id: string;
  readonly name: string;
  readonly admin: boolean;
  readonly rpm: number | null;
  readonly tpm: number | null;
  readonly max_streams: number | null;
  readonly budget_usd: string | null;
  readonly models: readonly string[] | null;
  readonly created_at: number;
  readonly expires_at: number | null;
  readonly revoked_at: number | null;
}

/** What may be said of a key; what is left out stays as it is. */
export interface KeyTerms {
  readonly name?: string;
  readonly admin?: boolean;
  readonly rpm?: number | null;
  readonly tpm?: number | null;
  readonly max_streams?: number | null;
  readonly budget_usd?: string | null;
  readonly models?: readonly string[] | null;
  readonly expires?: string | null;
}

interface List<T> {
  readonly data: readonly T[];
}

export function overview(): Promise<Overview> {
  return client.request("/v1/overview");
}

/** Usage from a moment on, in Unix seconds. */
export async function series(query: { step: Step; by: Split; since: number }): Promise<readonly Point[]> {
  return list("/v1/usage/series", { ...query, since: moment(query.since) });
}

export function latencies(since: number): Promise<readonly Latency[]> {
  return list("/v1/usage/latency", { since: moment(since) });
}

export function spending(): Promise<readonly Spending[]> {
  return list("/v1/spend");
}

export function keys(): Promise<readonly Key[]> {
  return list("/v1/keys");
}

/** The new key; its `key` is shown this once. */
export function makeKey(terms: KeyTerms): Promise<Key & { readonly key: string }> {
  return client.request("/v1/keys", { method: "POST", body: terms });
}

export function changeKey(id: string, terms: KeyTerms): Promise<Key> {
  return client.request(keyPath(id), { method: "PATCH", body: terms });
}

export function revokeKey(id: string): Promise<Key> {
  return client.request(keyPath(id), { method: "DELETE" });
}

async function list<T>(path: string, query: Readonly<Record<string, string>> = {}): Promise<readonly T[]> {
  return (await client.request<List<T>>(path, { query })).data;
}

function keyPath(id: string): string {
  return `/v1/keys/${encodeURIComponent(id)}`;
}

function moment(seconds: number): string {
  return new Date(seconds * 1000).toISOString();
}
