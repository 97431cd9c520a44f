/** One conversation on the page: what was said, and the answer that is being made. */

import { TailraceError, type ChatRequest, type Stream, type StreamOptions } from "tailrace";
import { deleteSession, session as askSession, type GenerationRow, type SessionMessage } from "tailrace/api";

import { client } from "../shared/client.ts";
import { el } from "../shared/dom.ts";
import { announce } from "./announcer.ts";
import { AnswerView } from "./answer.ts";
import { answerContent, questionText } from "./messages.ts";
import type { ModelPicker } from "./models.ts";
import { QuestionView } from "./question.ts";
import { findRows, latestOf, settledRow } from "./rows.ts";
import { Running } from "./running.ts";
import { Scroller } from "./scroll.ts";
import { explain, explainCode, type Trouble } from "./troubles.ts";

/** Who shows the thread. */
export interface ThreadHost {
  /** It began or ended to be answered. */
  changed(thread: Thread): void;
  /** The server has its latest question now. */
  kept(thread: Thread): void;
  /** Nobody is signed in any more; resolves when somebody is. */
  signIn(): Promise<void>;
}

type View = QuestionView | AnswerView;

export class Thread {
  readonly id: string;
  readonly element: HTMLElement;
  readonly picker: ModelPicker;
  readonly #host: ThreadHost;
  readonly #log = el("div", { class: "log" });
  readonly #scroller = new Scroller(this.#log);
  #views: View[] = [];
  #running: Running | undefined;
  #preparing = false;
  #loads = 0;

  constructor(id: string, picker: ModelPicker, host: ThreadHost) {
    this.id = id;
    this.picker = picker;
    this.#host = host;
    this.element = el("section", { class: "thread" }, picker.element, this.#scroller.element, this.#scroller.jump);
  }

  get busy(): boolean {
    return this.#running !== undefined || this.#preparing;
  }

  get empty(): boolean {
    return this.#views.length === 0;
  }

  /** Show what the server keeps, and go on with the answer that it is making. Throws a TailraceError. */
  async load(): Promise<void> {
    const turn = ++this.#loads;
    const messages = await this.#read();
    if (turn !== this.#loads) return; // It was asked for again meanwhile, or left.
    this.#clear();
    for (const message of messages) this.#put(message);
    this.#scroller.follow();
    void this.#showRows().catch(() => {}); // Figures alone would be missing.
    await this.#goOn(turn, messages.at(-1)?.created_at ?? 0);
  }

  /** Ask, and show the answer as it comes. */
  send(text: string): void {
    const question = this.#ask(text);
    const answer = this.#add(new AnswerView(() => void this.#retry(question)));
    this.#scroller.follow();
    void this.#run(client.stream(...this.#request({ message: text })), answer);
  }

  /** Stop the answer, for all its readers. */
  async stop(): Promise<void> {
    await this.#running?.stop();
  }

  /** Read no more; the answer goes on without us. */
  leave(): void {
    this.#loads++;
    this.#running?.leave();
  }

  #request(request: ChatRequest): [ChatRequest, StreamOptions] {
    const { model } = this.picker;
    return [
      { session_id: this.id, ...(model !== "" && { model }), ...request },
      // The answer belongs to the conversation: it is made whether or not this page is looked at.
      { onDisconnect: "continue", detachWhenHidden: true },
    ];
  }

  // Answers

  /** `row` is of an answer that was begun before, or elsewhere. */
  async #run(stream: Stream, answer: AnswerView, row?: GenerationRow): Promise<void> {
    const running = new Running(stream, answer, {
      attached: row !== undefined,
      onStart: () => row ?? this.#host.kept(this),
    });
    this.#running = running;
    this.#host.changed(this);
    announce("Answering.");
    const error = await running.read();
    this.#running = undefined;
    if (running.left) return;
    answer.generationId = stream.id;
    await this.#end(answer, error, row);
  }

  async #end(answer: AnswerView, error: unknown, row?: GenerationRow): Promise<void> {
    const trouble = error === undefined ? undefined : isGone(error) && row ? explainRow(row) : explain(error);
    answer.end(trouble);
    announce(trouble === undefined ? "The answer is complete." : `${trouble.title}. ${trouble.advice}`);
    this.#host.changed(this);
    await this.#adopt().catch(() => {}); // The server may be gone: what is shown stays.
    if (answer.generationId !== undefined) void this.#showRow(answer, answer.generationId);
    if (error instanceof TailraceError && error.status === 401) await this.#host.signIn();
  }

  /** Answer a question anew: as the server keeps it, or sent again where it never came to that. */
  async #retry(question: QuestionView | undefined): Promise<void> {
    if (this.busy || question === undefined) return;
    await this.#prepare();
    this.#dropAfter(question);
    const answer = this.#add(new AnswerView(() => void this.#retry(question)));
    answer.element.focus(); // What was pressed is gone.
    const request = question.id === undefined ? { message: question.text } : { after: question.id };
    await this.#run(client.stream(...this.#request(request)), answer);
  }

  /** Ask something else in a question's place. */
  async #revise(question: QuestionView, text: string): Promise<void> {
    if (this.busy) return;
    await this.#prepare();
    const before = this.#views.slice(0, this.#views.indexOf(question)).findLast(({ id }) => id !== undefined);
    const replaced = question.id;
    this.#dropAfter(question);
    this.#drop(this.#views.length - 1);
    const asked = this.#ask(text);
    const answer = this.#add(new AnswerView(() => void this.#retry(asked)));
    // Nothing comes before the first question that could be named: the conversation begins anew.
    const error = before === undefined && replaced !== undefined ? await this.#forget() : undefined;
    if (error !== undefined) return this.#end(answer, error);
    const after = before?.id === undefined ? {} : { after: before.id };
    await this.#run(client.stream(...this.#request({ message: text, ...after })), answer);
  }

  /** Learn what the server keeps of what is shown; a second press finds the thread busy. */
  async #prepare(): Promise<void> {
    this.#preparing = true;
    await this.#adopt().catch(() => {}); // The request that follows says it better.
    this.#preparing = false;
  }

  /** Have the server drop the conversation; the error where it could not. */
  async #forget(): Promise<unknown> {
    try {
      await deleteSession(client, this.id);
      return undefined;
    } catch (error) {
      return error instanceof TailraceError && error.code === "session_not_found" ? undefined : error;
    }
  }

  // What the server keeps

  async #read(): Promise<readonly SessionMessage[]> {
    try {
      return (await askSession(client, this.id)).messages;
    } catch (error) {
      if (error instanceof TailraceError && error.code === "session_not_found") return [];
      throw error;
    }
  }

  /** The ids of what is shown, which only the server gives. */
  async #adopt(): Promise<void> {
    const kept = (await this.#read()).filter(({ role }) => role === "user" || role === "assistant");
    let place = 0;
    for (const view of this.#views) {
      const message = kept[place];
      if (message === undefined || (message.role === "user") !== (view.kind === "question")) continue;
      view.id = message.id;
      place++;
    }
  }

  /** Attach to the answer that is being made; say it where the last one came to nothing. */
  async #goOn(turn: number, asked: number): Promise<void> {
    const last = this.#views.at(-1);
    if (last?.kind !== "question") return;
    const row = await latestOf(this.id);
    if (row === undefined || this.busy || turn !== this.#loads) return;
    if (row.created_at < asked) return; // That was the answer to an earlier question.
    const answer = this.#add(new AnswerView(() => void this.#retry(last)));
    void this.#run(client.attach(row.id, { detachWhenHidden: true }), answer, row);
  }

  async #showRows(): Promise<void> {
    const answers = this.#views.filter((view) => view.kind === "answer" && view.generationId !== undefined);
    const byId = new Map((answers as AnswerView[]).map((answer) => [answer.generationId!, answer]));
    if (byId.size === 0) return;
    for (const [id, row] of await findRows(new Set(byId.keys()))) {
      byId.get(id)?.showRow(row);
      if (row.status !== "finished" && row.status !== "running") byId.get(id)?.end(explainRow(row));
    }
  }

  async #showRow(answer: AnswerView, id: string): Promise<void> {
    const row = await settledRow(id).catch(() => undefined);
    if (row !== undefined) answer.showRow(row);
  }

  // What is shown

  #put(message: SessionMessage): void {
    if (message.role === "user") this.#ask(questionText(message)).id = message.id;
    else if (message.role === "assistant") this.#putAnswer(message);
    else this.#log.append(aside(message));
  }

  #putAnswer(message: SessionMessage): void {
    const question = this.#views.findLast((view) => view.kind === "question") as QuestionView | undefined;
    const answer = this.#add(new AnswerView(() => void this.#retry(question)));
    answer.id = message.id;
    answer.generationId = message.generation_id;
    answer.show(answerContent(message));
    answer.end(message.status === "partial" ? partial : undefined);
  }

  #ask(text: string): QuestionView {
    const question: QuestionView = new QuestionView(text, (revised) => void this.#revise(question, revised));
    return this.#add(question);
  }

  #add<Kind extends View>(view: Kind): Kind {
    this.#views.push(view);
    this.#log.append(view.element);
    return view;
  }

  #dropAfter(question: QuestionView): void {
    while (this.#views.at(-1) !== question && this.#views.length > 0) this.#drop(this.#views.length - 1);
  }

  #drop(place: number): void {
    for (const view of this.#views.splice(place)) view.element.remove();
  }

  #clear(): void {
    this.#views = [];
    this.#log.replaceChildren();
  }
}

const partial: Trouble = { code: "partial", title: "This answer is not whole", advice: "It was stopped, or cut off." };

/** The server keeps a stream for a while, and its row for good. */
function isGone(error: unknown): boolean {
  return error instanceof TailraceError && (error.code === "stream_gone" || error.code === "stream_not_found");
}

function explainRow({ reason, status }: GenerationRow): Trouble {
  return explainCode(reason ?? status);
}

/** What is neither asked nor answered: a system prompt, a tool's result. */
function aside(message: SessionMessage): HTMLElement {
  const name = message.role === "system" ? "System prompt" : "A tool’s result";
  return el("details", { class: "aside" }, el("summary", {}, name), el("pre", { tabindex: 0 }, questionText(message)));
}
