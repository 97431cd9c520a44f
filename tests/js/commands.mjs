// Commands of a test, as JSON, a line each: they run beside each other, and each is answered with a line
// {"id", "result"} or {"id", "error"}. It ends when its input does.
import { createInterface } from "node:readline";

export async function obey(commands) {
  for await (const line of createInterface({ input: process.stdin })) {
    const { id, command, ...options } = JSON.parse(line);
    commands[command](options).then(
      (result) => tell({ id, result: result ?? null }),
      (error) => tell({ id, error: String(error.stack ?? error) }),
    );
  }
  process.exit(0);
}

function tell(answer) {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
