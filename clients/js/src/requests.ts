/** What is asked: the body of `POST /v1/chat/stream`, in its own names. */

/** A part of a message that is more than text, as OpenAI's chat completions write it. */
export interface MessagePart {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** One turn of a conversation. */
export interface Message {
  readonly role: "system" | "user" | "assistant" | "tool";
  readonly content: string | readonly MessagePart[] | null;
  readonly name?: string;
  readonly tool_calls?: readonly unknown[];
  readonly tool_call_id?: string;
}

/** A function that the model may call; `parameters` is its JSON Schema. */
export interface Tool {
  readonly type: "function";
  readonly function: {
    readonly name: string;
    readonly description?: string;
    readonly parameters?: Readonly<Record<string, unknown>>;
    readonly strict?: boolean;
  };
}

/** `cancel`, `continue`, or seconds of grace before the cancel. */
export type OnDisconnect = "cancel" | "continue" | number;

/**
 * What a model is asked. Send `message`, or `messages`, or with a `session_id` and `after` neither: that question is
 * then answered anew.
 */
export interface ChatRequest {
  /** The user's message. */
  readonly message?: string;
  /** The whole conversation; with a `session_id` its new turns alone. */
  readonly messages?: readonly Message[];
  /** A name of `GET /v1/models`; the server's default without. */
  readonly model?: string;
  /** A provider's name, for that provider's default model. */
  readonly backend?: string;
  readonly system?: string;
  /** The conversation that the server keeps, by an id of your choice. */
  readonly session_id?: string;
  /** The message of the session to go on from; what follows it is dropped. */
  readonly after?: string;
  readonly max_tokens?: number;
  readonly temperature?: number;
  readonly top_p?: number;
  readonly stop?: string | readonly string[];
  readonly seed?: number;
  readonly tools?: readonly Tool[];
  readonly tool_choice?:
    "auto" | "none" | "required" | { readonly type: "function"; readonly function: { readonly name: string } };
  readonly parallel_tool_calls?: boolean;
  readonly response_format?: { readonly type: string; readonly json_schema?: unknown };
  readonly reasoning_effort?: string;
  readonly user?: string;
  readonly metadata?: Readonly<Record<string, unknown>>;
}
