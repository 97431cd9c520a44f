// Reads POST /chat/stream as tutorials do: every chunk is cut into lines, and nothing is carried over to the next one.
// Arguments: the server's URL and the request's JSON. Prints the answer's text as JSON.
const [url, body] = process.argv.slice(2);

const response = await fetch(`${url}/chat/stream`, {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body,
});
const reader = response.body.getReader();
const decoder = new TextDecoder();
let text = "";
while (true) {
  const { value, done } = await reader.read();
  if (done) break;
  for (const line of decoder.decode(value).split("\n")) {
    if (!line.startsWith("data: ")) continue;
    const data = JSON.parse(line.slice(6));
    if (data.token) text += data.token;
  }
}
console.log(JSON.stringify(text));
