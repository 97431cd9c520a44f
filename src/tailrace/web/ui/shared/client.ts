/** The client that our pages ask with: the server they came from, below its root path. */

import { createClient } from "tailrace";

export const client = createClient({ url: "./" });
