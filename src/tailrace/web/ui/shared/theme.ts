/** Light or dark: as the system says, until the reader chooses. */

export type Theme = "light" | "dark";

const KEY = "tailrace.theme";

/** What is shown now. */
export function currentTheme(): Theme {
  return chosen() ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}

/** Show the other one, here and on each of our pages from now on. */
export function toggleTheme(): Theme {
  const theme = currentTheme() === "dark" ? "light" : "dark";
  localStorage.setItem(KEY, theme);
  apply();
  return theme;
}

function chosen(): Theme | undefined {
  const kept = localStorage.getItem(KEY);
  return kept === "light" || kept === "dark" ? kept : undefined;
}

function apply(): void {
  const theme = chosen();
  if (theme === undefined) delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme;
}

apply();
