/** How the upstreams do, as the process that answers has seen it. */

import { el } from "../shared/dom.ts";
import { count } from "../shared/numbers.ts";
import type { Overview, Upstream } from "./api.ts";
import { words } from "./endings.ts";
import { ago } from "./moments.ts";
import { Table } from "./table.ts";

/** The section of the upstreams. */
export class Upstreams {
  readonly element: HTMLElement;
  readonly #table: Table<Upstream>;
  readonly #note = el("p", { class: "note" });
  #now = 0;

  constructor() {
    const columns = [
      { name: "Provider", cell: ({ name }: Upstream) => name },
      { name: "Format", cell: ({ kind }: Upstream) => kind ?? "–" },
      { name: "State", cell: (upstream: Upstream) => stateOf(upstream) },
      { name: "Running", figure: true, cell: ({ running }: Upstream) => count(running) },
      { name: "Requests, 5 min", figure: true, cell: ({ requests }: Upstream) => count(requests) },
      { name: "Failures, 5 min", figure: true, cell: ({ failures }: Upstream) => count(failures) },
      { name: "Last answer", cell: ({ last_answer_at: at }: Upstream) => (at === null ? "–" : ago(at, this.#now)) },
      { name: "Last failure", cell: ({ last_failure }: Upstream) => this.#failure(last_failure) },
    ];
    this.#table = new Table("Upstreams", columns, ({ name }) => name, "No provider is on.");
    this.element = el(
      "section",
      { id: "upstreams", "aria-labelledby": "upstreams-title" },
      el("h2", { id: "upstreams-title" }, "Upstreams"),
      this.#table.element,
      this.#note,
    );
  }

  show({ upstreams, now, pid }: Overview): void {
    this.#now = now;
    const note = `As process ${pid} has seen them since it began; other workers count their own.`;
    if (this.#note.textContent !== note) this.#note.textContent = note;
    this.#table.show(upstreams, (upstream) => `state-${stateOf(upstream)}`);
  }

  #failure(failure: Upstream["last_failure"]): string {
    return failure === null ? "–" : `${words(failure.code)} (${failure.status}), ${ago(failure.at, this.#now)}`;
  }
}

function stateOf({ requests, failures }: Upstream): string {
  if (failures === 0) return requests === 0 ? "idle" : "well";
  return failures * 2 > requests ? "failing" : "troubled";
}
