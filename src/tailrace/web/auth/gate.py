"""What every gate is, and how a request carries a credential."""

from __future__ import annotations

from typing import Final, Protocol

from starlette.requests import Request

from tailrace.errors import RequestError
from tailrace.web.auth.callers import Caller
from tailrace.web.tokens import PREFIX

_UNAUTHORIZED: Final = "a valid API key is needed, as X-API-Key: KEY or Authorization: Bearer KEY"


class Gate(Protocol):
    """Decides who a request comes from. Raises RequestError for a request that may not be made."""

    async def admit(self, request: Request) -> Caller: ...

    def honours(self, caller: Caller) -> bool:
        """Whether a caller that was admitted still would be: what is read may outlast a key."""


def unauthorized() -> RequestError:
    """The one refusal for a credential that is missing, malformed, unknown, expired or revoked."""
    return RequestError(401, "unauthorized", _UNAUTHORIZED, headers={"www-authenticate": "Bearer"})


def presented(request: Request) -> str | None:
    """The key or token of a request; in the query only a token, which is short-lived.

    Raises RequestError 400 for a key in the query: it would be logged on its way.
    """
    headers = request.headers
    if (key := headers.get("x-api-key")) is not None:
        return key
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    token = request.query_params.get("token")
    if token is not None and not token.startswith(PREFIX):
        raise RequestError(
            400, "key_in_query", "token holds no browser token: send keys as X-API-Key or Authorization", field="token"
        )
    return token
