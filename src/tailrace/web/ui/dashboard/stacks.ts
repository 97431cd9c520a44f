/** Points of usage as stacks: a stack for each step of time, in it a layer for each group. */

import type { Point, Step } from "./api.ts";

export type Measure = "generations" | "output_tokens" | "input_tokens" | "cost_usd";

/** A group of the chart: `place` is that of its colour. */
export interface Group {
  readonly id: string;
  readonly name: string;
  readonly total: number;
}

/** All groups' values of one step, in the order of the groups. */
export interface Stack {
  readonly starts: number;
  readonly values: readonly number[];
  readonly sum: number;
}

export interface Stacks {
  readonly groups: readonly Group[];
  readonly stacks: readonly Stack[];
}

/** More groups than that no eye tells apart. */
const MOST = 7;
const OTHERS: Group = { id: "\0others", name: "all others", total: 0 };

export const SECONDS: Readonly<Record<Step, number>> = { hour: 3600, day: 86_400 };

/** Stack up: every step from `since` to `until`, the empty ones too; the biggest groups first, the small ones as one. */
export function stackUp(points: readonly Point[], measure: Measure, step: Step, since: number, until: number): Stacks {
  const ranked = rank(points, measure);
  const groups = ranked.length > MOST + 1 ? [...ranked.slice(0, MOST), sumUp(ranked.slice(MOST))] : ranked;
  const places = new Map(groups.map((group, place) => [group.id, place]));
  const stacks = new Map<number, number[]>();
  for (let starts = since; starts <= until; starts += SECONDS[step])
    stacks.set(
      starts,
      groups.map(() => 0),
    );
  for (const point of points) {
    const values = stacks.get(point.starts);
    const place = places.get(point.group) ?? groups.length - 1;
    if (values !== undefined) values[place] = values[place]! + valueOf(point, measure);
  }
  return { groups, stacks: [...stacks].map(([starts, values]) => ({ starts, values, sum: add(values) })) };
}

export function valueOf(point: Point, measure: Measure): number {
  return point[measure] ?? 0;
}

function rank(points: readonly Point[], measure: Measure): Group[] {
  const groups = new Map<string, Group>();
  for (const point of points) {
    const total = (groups.get(point.group)?.total ?? 0) + valueOf(point, measure);
    groups.set(point.group, { id: point.group, name: point.name || "–", total });
  }
  const known = [...groups.values()].filter((group) => group.total > 0);
  return known.sort((one, other) => other.total - one.total || one.name.localeCompare(other.name));
}

function sumUp(groups: readonly Group[]): Group {
  return { ...OTHERS, total: add(groups.map((group) => group.total)) };
}

export function add(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}
