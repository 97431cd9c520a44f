import assert from "node:assert/strict";
import { test } from "node:test";

import { renderToString } from "react-dom/server";
import { createClient } from "tailrace";
import { useStream } from "tailrace/react";

import { SHARED } from "./server.ts";

const client = createClient({ url: SHARED });

function Answer() {
    const { status, text, send } = useStream(client);
    assert.equal(typeof send, "function");
    return (
        <p>
            {status}:{text}
        </p>
    );
}

test("on a server a component renders with nothing asked yet", () => {
    assert.match(renderToString(<Answer />), /<p>idle/);
});
