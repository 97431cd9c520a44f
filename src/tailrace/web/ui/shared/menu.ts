/** The foot of both pages' side: the other pages, light or dark, who is signed in. */

import { el, icon } from "./dom.ts";
import { currentTheme, toggleTheme } from "./theme.ts";
import type { Visitor } from "./visitor.ts";

const SUN =
  "M12 7a5 5 0 1 0 0 10 5 5 0 0 0 0-10zM12 1v3M12 20v3M1 12h3M20 12h3M4.200 4.200l2.100 2.100M17.700 17.700l2.100 2.100M19.800 4.200l-2.100 2.100M6.300 17.700l-2.100 2.100";
const MOON = "M20 14.500A8.500 8.500 0 1 1 9.500 4a7 7 0 0 0 10.500 10.500z";

export interface MenuOptions {
  readonly here: "chat" | "dashboard";
  readonly visitor: Visitor;
  readonly signOut: () => void;
}

/** Links to the other pages, the theme, and the way out. */
export function menu({ here, visitor, signOut }: MenuOptions): HTMLElement {
  const { open, name, admin } = visitor;
  return el(
    "div",
    { class: "menu" },
    here === "dashboard" && el("a", { href: "./" }, "Chat"),
    here === "chat" && admin && el("a", { href: "dashboard" }, "Dashboard"),
    el("a", { href: "docs" }, "API docs"),
    themeButton(),
    !open &&
      el(
        "button",
        { type: "button", class: "quiet", title: `Signed in as ${name ?? ""}`, onclick: signOut },
        "Sign out",
      ),
  );
}

function themeButton(): HTMLElement {
  const button = el("button", { type: "button", class: "quiet theme" });
  const show = (): void => {
    const dark = currentTheme() === "dark";
    button.replaceChildren(icon(dark ? SUN : MOON));
    button.setAttribute("aria-label", dark ? "Light colours" : "Dark colours");
  };
  button.addEventListener("click", () => {
    toggleTheme();
    show();
  });
  show();
  return button;
}
