/** Tells screen readers what happens, in few words: an answer's begin and end, never its tokens. */

import { el } from "../shared/dom.ts";

const region = el("div", { class: "hidden", role: "status", "aria-live": "polite" });
document.body.append(region);

export function announce(words: string): void {
  region.textContent = words;
}
