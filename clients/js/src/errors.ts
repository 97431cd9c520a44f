/**
 * Every error that the client throws, under one base.
 *
 *     TailraceError
 *     └── StreamError    an answer that could not be begun, or will not be whole
 *
 * An abort by your own hand is no error of ours: the signal's reason is thrown as it is.
 */

/** Why an answer failed on the server. */
export type FailureCode =
  | "upstream_refused"
  | "upstream_auth"
  | "upstream_error"
  | "upstream_cut"
  | "upstream_invalid"
  | "connect_timeout"
  | "first_token_timeout"
  | "idle_timeout"
  | "total_timeout"
  | "too_long"
  | "cancelled"
  | "budget_exceeded"
  | "key_revoked"
  | "draining"
  | "interrupted"
  | "internal";

/**
 * What the client itself has to say: the server can't be reached, an HTTP error came from something that is not
 * tailrace, frames are missing, or a frame is none of the format.
 */
export type ClientCode = "connection_lost" | "http_error" | "frames_missing" | "frames_invalid";

/** A code; beside those named here the server's refusals have theirs, such as `session_busy` or `rate_limited`. */
export type ErrorCode = FailureCode | ClientCode | (string & {});

/** What is known of an error beside its code and its words. */
export interface ErrorDetails {
  /** The HTTP status, where one came. */
  readonly status?: number | undefined;
  /** What to name when you ask the server's operator about it. */
  readonly requestId?: string | undefined;
  /** Seconds after which it makes sense to try again, where the server said so. */
  readonly retryAfter?: number | undefined;
  /** The field of the request that is at fault. */
  readonly field?: string | undefined;
  /** The stream it is about; of a `session_busy` the one that is running. */
  readonly streamId?: string | undefined;
  readonly cause?: unknown;
}

/** The base of all. `message` is fit for a reader's eyes; to tell cases apart, look at `code`. */
export class TailraceError extends Error {
  override readonly name: string = "TailraceError";
  readonly code: ErrorCode;
  declare readonly status: number | undefined;
  declare readonly requestId: string | undefined;
  declare readonly retryAfter: number | undefined;
  declare readonly field: string | undefined;
  declare readonly streamId: string | undefined;

  constructor(code: ErrorCode, message: string, { cause, ...details }: ErrorDetails = {}) {
    super(message, { cause });
    this.code = code;
    Object.assign(this, details);
  }
}

/** An answer could not be begun, or will not be whole. `partial`: some of it has come, and stands in the stream. */
export class StreamError extends TailraceError {
  override readonly name = "StreamError";
  declare readonly partial: boolean;

  constructor(code: ErrorCode, message: string, details: ErrorDetails & { readonly partial?: boolean } = {}) {
    super(code, message, { partial: false, ...details } as ErrorDetails);
  }
}
