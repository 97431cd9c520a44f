/** Elements without strings of HTML: under Trusted Types nothing else is left, and nothing else is needed. */

/** Attributes of an element; one that is undefined or false is left out, and `on…` ones are listeners. */
export interface Attributes {
  readonly [name: string]: string | number | boolean | undefined | ((event: never) => void);
}

export type Child = Node | string | undefined | false;

/** An element with its attributes and children. */
export function el<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) setAttribute(element, name, value);
  element.append(...children.filter((child) => child !== undefined && child !== false));
  return element;
}

/** A drawing of 24 by 24, from the `d` of its paths. */
export function icon(...paths: readonly string[]): SVGSVGElement {
  const svg = svgElement("svg", { viewBox: "0 0 24 24", "aria-hidden": "true", class: "icon" });
  svg.append(...paths.map((d) => svgElement("path", { d })));
  return svg;
}

/** An SVG element with its attributes. */
export function svgElement<Tag extends keyof SVGElementTagNameMap>(
  tag: Tag,
  attributes: Readonly<Record<string, string | number>> = {},
): SVGElementTagNameMap[Tag] {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  return element;
}

function setAttribute(element: HTMLElement, name: string, value: Attributes[string]): void {
  if (value === undefined || value === false) return;
  if (typeof value === "function") element.addEventListener(name.slice(2), value as EventListener);
  else element.setAttribute(name, value === true ? "" : String(value));
}
