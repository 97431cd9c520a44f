/** The chat page. */

import "../shared/theme.ts";

import { pass } from "../shared/door.ts";
import { App, DOOR } from "./app.ts";

await new App(await pass(DOOR)).start();
