/** What the tests in a browser load: the client, a reader, and a component that shows an answer. */

import { createRoot } from "react-dom/client";
import * as tailrace from "tailrace";
import { eventSource } from "tailrace/eventsource";
import { useStream } from "tailrace/react";

/** What the page has heard so far, for a test to look at. */
interface Heard {
    text: string;
    kinds: string[];
    error: string | undefined;
    done: boolean;
}

const heard: Heard = { text: "", kinds: [], error: undefined, done: false };

/** Read a stream, and keep what comes where the test can see it. */
async function listen(stream: tailrace.Stream): Promise<void> {
    try {
        for await (const event of stream) {
            heard.kinds.push(event.type);
            heard.text = stream.text;
        }
    } catch (error) {
        heard.error = error instanceof tailrace.StreamError ? error.code : String(error);
    }
    heard.done = true;
}

/** Mount a component that asks for an answer when it is told to. */
function mount(model: string): void {
    const client = tailrace.createClient();
    function Chat() {
        const { status, text, error, send, stop, retry } = useStream(client);
        return (
            <main>
                <output id="status">{status}</output>
                <output id="text">{text}</output>
                <output id="error">{error instanceof tailrace.StreamError ? error.code : ""}</output>
                <button id="send" onClick={() => send({ message: "Hi", model })} />
                <button id="stop" onClick={stop} />
                <button id="retry" onClick={retry} />
            </main>
        );
    }
    createRoot(document.body).render(<Chat />);
}

Object.assign(globalThis, { ...tailrace, eventSource, heard, listen, mount });
