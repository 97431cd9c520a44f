"""Your own route, streamed by tailrace: give it any iterator of text.

Run it with `uvicorn one_route:app` in this folder, then `curl -N localhost:8000/count?upto=20`.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

from fastapi import FastAPI, Request, Response
from starlette.middleware.base import RequestResponseEndpoint

from tailrace import stream_response

app = FastAPI()


@app.middleware("http")
async def add_server_time(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Middleware as everybody writes it: streaming goes on under it."""
    began = time.perf_counter()
    response = await call_next(request)
    response.headers["X-Time-To-Status-Ms"] = f"{(time.perf_counter() - began) * 1000:.1f}"
    return response


async def count(upto: int) -> AsyncIterator[str]:
    """An asynchronous source of text, such as your call of a model."""
    for number in range(1, upto + 1):
        yield f"{number} "
        await asyncio.sleep(0.05)


def count_slowly(upto: int) -> Iterator[str]:
    """A blocking one: it runs in a thread, and stops when the reader leaves."""
    for number in range(1, upto + 1):
        yield f"{number} "
        time.sleep(0.05)


@app.get("/count")
async def stream_count(upto: int = 10) -> Response:
    """Server-sent events named `token`, then `done`."""
    return stream_response(count(upto))


@app.get("/count/slowly")
def stream_count_slowly(upto: int = 10) -> Response:
    """The same from a blocking iterator, as JSON deltas."""
    return stream_response(count_slowly(upto), format="delta")
