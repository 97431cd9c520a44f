"""Signing in to our own pages: a key is given once, and what the browser keeps of it is a cookie."""

from __future__ import annotations

from typing import Any, Final, Protocol

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from tailrace.dialects.messages import StrictModel
from tailrace.errors import RequestError
from tailrace.keys import parse_json
from tailrace.web.auth import COOKIE, LIFE_S, Caller, Gate, KeyGate, check_own_page
from tailrace.web.bodies import read_json
from tailrace.web.exchanges import answer_json, refuse

_LARGEST_BODY: Final = 4096
_UNAUTHORIZED: Final = 401


class SignInBody(StrictModel):
    """`POST /session`."""

    key: str = Field(min_length=1, max_length=512)


class Host(Protocol):
    """What signing in needs of the application."""

    gate: Gate
    key_gate: KeyGate

    @property
    def is_open(self) -> bool: ...


def add_signing_in(router: APIRouter, host: Host) -> None:
    """`/session`: who is signed in, in, and out."""

    @router.post("/session", include_in_schema=False)
    async def sign_in(request: Request) -> Response:
        try:
            return await _sign_in(request, host)
        except RequestError as error:
            return refuse(error, request)

    @router.get("/session", include_in_schema=False)
    async def show(request: Request) -> Response:
        return answer_json(await _describe(request, host), request)

    @router.delete("/session", include_in_schema=False)
    async def sign_out(request: Request) -> Response:
        response = answer_json({"signed_in": False}, request)
        response.delete_cookie(COOKIE, path=_path(request), httponly=True, samesite="strict")
        return response


async def _sign_in(request: Request, host: Host) -> Response:
    check_own_page(request)
    body = parse_json(await read_json(request, max_body=_LARGEST_BODY), SignInBody)
    issued = await host.key_gate.sign_in(body.key.strip(), request)
    response = answer_json({"signed_in": True, "expires_at": issued.expires_at}, request)
    response.set_cookie(
        COOKIE,
        issued.token,
        max_age=LIFE_S,
        path=_path(request),
        secure=_is_https(request),
        httponly=True,
        samesite="strict",
    )
    return response


def _is_https(request: Request) -> bool:
    """Whether the browser speaks TLS, with us or with a proxy. Who claims it falsely only harms its own sign-in."""
    return "https" in (request.url.scheme, request.headers.get("x-forwarded-proto"))


async def _describe(request: Request, host: Host) -> dict[str, Any]:
    try:
        caller: Caller | None = await host.gate.admit(request)
    except RequestError as error:
        if error.status != _UNAUTHORIZED:
            return {"open": host.is_open, "signed_in": False, "refusal": error.message}
        caller = None
    if caller is None:
        return {"open": False, "signed_in": False}
    return {"open": host.is_open, "signed_in": True, "name": caller.key.name, "admin": caller.admin}


def _path(request: Request) -> str:
    return str(request.scope.get("root_path", "")) or "/"
