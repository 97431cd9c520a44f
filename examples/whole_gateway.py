"""All of tailrace inside your own application: its routes under /llm, and its models in your code.

Run it with `uvicorn whole_gateway:app` in this folder, then
`curl -N localhost:8000/llm/v1/chat/stream -H 'X-User: ada' --json '{"message": "Hello"}'`.
"""

from contextlib import aclosing

from fastapi import FastAPI, Request

from tailrace import Finish, Provider, Settings, Sink, Started, Tailrace, TextDelta
from tailrace.requests import ChatRequest


class Echo(Provider):
    """A provider of your own: it says what it was told, word by word."""

    kind = "echo"
    name = "echo"
    default_model = "echo"

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    async def models(self) -> list[str]:
        return ["echo"]

    async def run(self, request: ChatRequest, sink: Sink) -> Finish:
        sink([Started(model=request.model, created_at=0.0)])
        for word in request.last_user_text().split(" "):
            sink([TextDelta(text=f"{word} ")])
        return Finish(reason="stop")


def identify(request: Request) -> str | None:
    """Who asks: in a real application, the user of the session."""
    return request.headers.get("x-user")


tailrace = Tailrace(Settings(), providers={"echo": Echo()}, identify=identify)
app = FastAPI(lifespan=tailrace.lifespan)
app.include_router(tailrace.router, prefix="/llm")


@app.get("/headline")
async def write_headline(topic: str) -> dict[str, str]:
    """A model's answer as a part of your own code."""
    text = ""
    async with aclosing(tailrace.stream(message=f"A headline about {topic}", model="echo/echo")) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                text += event.text
    return {"headline": text.strip()}
