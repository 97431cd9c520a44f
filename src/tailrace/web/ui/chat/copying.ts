/** Buttons that copy a text. */

import { el } from "../shared/dom.ts";

const SHOWN_MS = 1500;

/** A button with this name; what is copied is asked for when it is pressed. */
export function copyButton(name: string, text: () => string): HTMLButtonElement {
  const button = el(
    "button",
    { type: "button", class: "quiet", "aria-label": name, onclick: () => void copy() },
    "Copy",
  );
  const say = (word: string): void => {
    button.textContent = word;
    setTimeout(() => (button.textContent = "Copy"), SHOWN_MS);
  };
  const copy = (): Promise<void> =>
    writeClipboard(text()).then(
      () => say("Copied"),
      () => say("Not allowed"),
    );
  return button;
}

/** Pages over plain HTTP have no clipboard but the old one, that of the selection. */
async function writeClipboard(text: string): Promise<void> {
  if (navigator.clipboard !== undefined) return navigator.clipboard.writeText(text);
  const focused = document.activeElement as HTMLElement | null;
  const area = el("textarea", { "aria-hidden": "true" });
  area.value = text;
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  focused?.focus();
  if (!copied) throw new DOMException("copying is not allowed", "NotAllowedError");
}
