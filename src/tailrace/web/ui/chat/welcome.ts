/** What an empty conversation shows: what this is, and three things to try. */

import { el } from "../shared/dom.ts";
import { isUnconfigured } from "./models.ts";

export interface Example {
  readonly prompt: string;
  readonly model: string;
  readonly shows: string;
}

const EXAMPLES: readonly Example[] = [
  { prompt: "Why do rivers meander?", model: "simulated", shows: "An answer, token by token" },
  {
    prompt: "Tell me a long story, so that I can pull the plug",
    model: "simulated/n600-d20",
    shows: "Long enough to reload, or to go offline, in its middle",
  },
  {
    prompt: "Think first, then look up the weather",
    model: "simulated/n60-r60-t1",
    shows: "Reasoning, and a tool’s call",
  },
];

/** `choose` asks an example. */
export function welcome(choose: (example: Example) => void): HTMLElement {
  const examples = EXAMPLES.map((example) => {
    const { prompt, shows } = example;
    return el(
      "button",
      { type: "button", onclick: () => choose(example) },
      el("strong", {}, prompt),
      el("span", {}, shows),
    );
  });
  return el(
    "div",
    { class: "welcome" },
    el("h2", {}, "Answers that never lose a token"),
    el(
      "p",
      {},
      "tailrace streams language models’ answers to people and programs, token by token. A lost connection goes on where it was, and every token is accounted for.",
    ),
    el("div", { class: "examples" }, ...examples),
    el(
      "p",
      { class: "tip" },
      el("strong", {}, "Pull the plug: "),
      "reload this page in mid-answer, open it in a second tab, or go offline for a while. The answer goes on where it was.",
    ),
    isUnconfigured() && el("p", { class: "tip" }, ...unconfigured()),
  );
}

function unconfigured(): (Node | string)[] {
  const names = ["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OLLAMA_HOST"].map((name) => el("code", {}, name));
  return [
    "The simulated model answers, without a network and without cost. For a real one set ",
    names[0]!,
    ", ",
    names[1]!,
    " or ",
    names[2]!,
    ".",
  ];
}
