// What a page shows of a chat, and what one can do there: for any component that has the `useChat` of React.
import { createRoot } from "react-dom/client";

function Part({ part, addToolOutput }) {
  if (part.type === "text") return <p>{part.text}</p>;
  if (part.type === "reasoning") return <em>{part.text}</em>;
  if (!part.type.startsWith("tool-")) return null;
  const tool = part.type.slice("tool-".length);
  const answer = () => addToolOutput({ tool, toolCallId: part.toolCallId, output: { mild: true } });
  return (
    <button id={part.toolCallId} onClick={answer}>
      {tool} {part.state} {JSON.stringify(part.input)}
    </button>
  );
}

export function ChatView({ messages, sendMessage, stop, status, error, addToolOutput }) {
  return (
    <main>
      <output id="status">{status}</output>
      <output id="error">{error?.message}</output>
      <input id="send" onKeyDown={({ key, target }) => key === "Enter" && sendMessage({ text: target.value })} />
      <input id="stop" type="button" onClick={stop} />
      {messages.map(({ id, role, parts }) => (
        <section key={id} className={role}>
          {parts.map((part, place) => (
            <Part key={place} part={part} addToolOutput={addToolOutput} />
          ))}
        </section>
      ))}
    </main>
  );
}

export function mount(Page) {
  createRoot(document.body).render(<Page />);
}
