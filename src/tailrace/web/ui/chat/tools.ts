/** The calls of tools in an answer, with their arguments. */

import { el } from "../shared/dom.ts";

interface Call {
  readonly id: string;
  readonly name: string;
  readonly arguments: string;
}

export class ToolCalls {
  readonly element = el("div", { class: "tools" });
  readonly #shown = new Map<string, { call: Call; code: HTMLElement }>();

  show(calls: readonly Call[]): void {
    for (const call of calls) {
      const shown = this.#shown.get(call.id) ?? this.#add(call);
      if (shown.call.arguments === call.arguments && shown.code.textContent !== "") continue;
      shown.code.textContent = indent(call.arguments);
      this.#shown.set(call.id, { call, code: shown.code });
    }
  }

  #add(call: Call): { call: Call; code: HTMLElement } {
    const code = el("code");
    const summary = el("summary", {}, "Calls ", el("code", {}, call.name));
    const pre = el("pre", { tabindex: 0 }, code);
    this.element.append(el("details", { class: "tool", open: true }, summary, pre));
    const shown = { call, code };
    this.#shown.set(call.id, shown);
    return shown;
  }
}

/** JSON as one reads it; what is not whole yet stays as it is. */
function indent(json: string): string {
  try {
    return JSON.stringify(JSON.parse(json), undefined, 2);
  } catch {
    return json;
  }
}
