/** What went wrong, in words for whoever asked: what happened, and what to do about it. */

import { TailraceError } from "tailrace";

export interface Trouble {
  readonly code: string;
  readonly title: string;
  readonly advice: string;
  /** The server's own words, for who wants them. */
  readonly said?: string | undefined;
}

const UPSTREAM = "The model’s provider";
const LATER = "Try again in a moment.";
const OTHER_MODEL = "Choose another model, then try again.";

/** Titles and advice by code; where the server's own words say it better, they are shown below. */
const KNOWN: Readonly<Record<string, readonly [title: string, advice: string]>> = {
  cancelled: ["Stopped", "What had come is kept."],
  connection_lost: [
    "The server can’t be reached",
    "Check that tailrace runs and that this machine is online. Your text is kept; try again when it is back.",
  ],
  interrupted: ["The server stopped in mid-answer", "What had come by then is kept. Try again for a whole answer."],
  draining: ["The server is shutting down", "It may be back soon. Try again in a moment."],
  stream_gone: ["This answer is no longer on the server", "Try again for a new one."],
  stream_not_found: ["This answer is no longer on the server", "Try again for a new one."],
  model_not_found: ["There is no such model any more", OTHER_MODEL],
  model_not_allowed: ["This key may not use that model", OTHER_MODEL],
  model_without_price: ["That model has no price, and this key has a budget", OTHER_MODEL],
  provider_off: ["That model’s provider is switched off", OTHER_MODEL],
  rate_limited: ["Too many requests for this key", LATER],
  budget_exceeded: ["This key’s budget is used up", "Ask whoever runs this server to raise it."],
  key_revoked: ["The key was revoked", "Sign in with another one, then try again."],
  unauthorized: ["You are not signed in any more", "Sign in, then try again."],
  session_busy: ["This conversation is being answered elsewhere", "Wait for that answer, or stop it; then try again."],
  message_not_found: ["The conversation was changed elsewhere", "Reload it, then try again."],
  upstream_refused: [`${UPSTREAM} refused the request`, "See what it said, then try again or choose another model."],
  upstream_auth: [`${UPSTREAM} did not accept the server’s credentials`, "Whoever runs this server must mend its key."],
  upstream_error: [`${UPSTREAM} failed`, LATER],
  upstream_cut: [`${UPSTREAM} cut the answer off`, "What had come is kept. Try again for a whole answer."],
  upstream_invalid: [`${UPSTREAM} sent something that is no answer`, LATER],
  connect_timeout: [`${UPSTREAM} can’t be reached`, LATER],
  first_token_timeout: ["The model did not begin in time", LATER],
  idle_timeout: ["The model fell silent", "What had come is kept. Try again for a whole answer."],
  total_timeout: ["The answer took too long", "What had come is kept. Ask for less, or try again."],
  too_long: ["The answer grew too long", "What had come is kept. Ask for less at once."],
  frames_missing: ["A part of the answer was lost on the way", "Try again; a proxy on the way may be at fault."],
  frames_invalid: ["Something on the way garbled the answer", "Try again; a proxy on the way may be at fault."],
};

/** What an error means. */
export function explain(error: unknown): Trouble {
  if (!(error instanceof TailraceError))
    return unknown("internal", error instanceof Error ? error.message : String(error));
  const { code, message, requestId, retryAfter } = error;
  const said = requestId === undefined ? message : `${message} (${requestId})`;
  const trouble = explainCode(code, said);
  return retryAfter === undefined ? trouble : { ...trouble, advice: `Try again in ${retryAfter} s.` };
}

/** What an answer's end means, by the code that the ledger has for it. */
export function explainCode(code: string, said?: string): Trouble {
  const known = KNOWN[code];
  return known === undefined ? unknown(code, said) : { code, title: known[0], advice: known[1], said };
}

function unknown(code: string, said: string | undefined): Trouble {
  return {
    code,
    title: "That did not work",
    advice: "Try again; if it stays so, tell whoever runs this server.",
    said,
  };
}
