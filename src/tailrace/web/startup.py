"""The app's start, as the server sees it: a wrong setting ends it in one line, anything else is logged once."""

from __future__ import annotations

import logging
from typing import Any, Final, cast

import structlog
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tailrace.errors import SettingsError

_log = structlog.get_logger(__name__)

_unheard: Final = logging.Logger("uvicorn.lifespan")
_unheard.disabled = True


class Startup:
    """Runs an app's lifespan; `refusal` is the wrong setting because of which it did not start."""

    def __init__(self) -> None:
        self.refusal: SettingsError | None = None

    async def run(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """The app's lifespan, from its start to its end."""

        async def tell(message: Message) -> None:
            # A framework's message is the traceback: what is to be said of it is said here
            await send({name: value for name, value in message.items() if name != "message"})

        try:
            await app(scope, receive, tell)
        except SettingsError as error:
            self.refusal = error
            raise
        except Exception:
            _log.exception("the app's lifespan failed")
            raise


def silence(server: uvicorn.Server) -> None:
    """Keep uvicorn from telling of the lifespan too."""
    cast("Any", server.lifespan).logger = _unheard
