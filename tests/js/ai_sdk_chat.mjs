// The chat of `useChat`, without a framework around it.
import { AbstractChat } from "ai";

// The state of a chat, kept as plainly as the framework bindings of `useChat` allow.
class State {
  status = "ready";
  error = undefined;
  listeners = new Set();
  #messages;

  constructor(messages) {
    this.#messages = messages;
  }

  get messages() {
    return this.#messages;
  }

  set messages(messages) {
    this.#messages = messages;
    this.#changed();
  }

  pushMessage = (message) => {
    this.messages = [...this.#messages, message];
  };

  popMessage = () => {
    this.messages = this.#messages.slice(0, -1);
  };

  replaceMessage = (index, message) => {
    this.messages = this.#messages.with(index, this.snapshot(message));
  };

  snapshot = (thing) => structuredClone(thing);

  #changed() {
    for (const listener of this.listeners) listener();
  }
}

export class Chat extends AbstractChat {
  finishes = [];

  constructor({ id, messages = [], transport }) {
    super({
      id,
      state: new State(messages),
      transport,
      onFinish: ({ isAbort, isError, finishReason }) => this.finishes.push({ isAbort, isError, finishReason }),
    });
  }

  // Resolves once the messages hold a text.
  until(text) {
    return new Promise((resolve) => {
      const look = () => {
        if (!JSON.stringify(this.messages).includes(text)) return;
        this.state.listeners.delete(look);
        resolve();
      };
      this.state.listeners.add(look);
      look();
    });
  }

  describe() {
    const { status, error, messages, finishes } = this;
    return { status, error: error?.message, statusCode: error?.statusCode, messages, finishes };
  }
}

// As a page calls it; `useChat.latest` is what stands behind the last one.
export function useChat(options) {
  const chat = new Chat(options);
  useChat.latest = chat;
  const { messages, sendMessage, stop, status, error } = chat;
  return { messages, sendMessage, stop, status, error };
}
