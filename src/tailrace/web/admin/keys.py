"""`/v1/keys`: made, listed, changed and revoked, by admins."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from tailrace.keys import KeyChanges, Keyring, NewKey, describe, parse_json
from tailrace.web.auth import Caller, KeyGate
from tailrace.web.bodies import read_json
from tailrace.web.exchanges import answer_json

LARGEST_BODY: Final = 2**20


class Keys:
    """What admins may do with keys; every other caller gets 403 before the body is read."""

    def __init__(self, keyring: Keyring, key_gate: KeyGate) -> None:
        self._keyring = keyring
        self._key_gate = key_gate

    async def create(self, request: Request, caller: Caller) -> Response:
        """`POST /v1/keys`: the one answer that shows a key's text."""
        _check(caller)
        made = await self._keyring.create(parse_json(await read_json(request, max_body=LARGEST_BODY), NewKey))
        await self._key_gate.refresh()
        return answer_json({**describe(made.key), "key": made.text.reveal()}, request, status=201)

    async def list(self, request: Request, caller: Caller) -> Response:
        """`GET /v1/keys`."""
        _check(caller)
        return answer_json({"data": [describe(key) for key in await self._keyring.list()]}, request)

    async def update(self, request: Request, caller: Caller) -> Response:
        """`PATCH /v1/keys/{key_id}`."""
        _check(caller)
        changes = parse_json(await read_json(request, max_body=LARGEST_BODY), KeyChanges)
        key = await self._keyring.update(request.path_params["key_id"], changes)
        await self._key_gate.refresh()
        return answer_json(describe(key), request)

    async def revoke(self, request: Request, caller: Caller) -> Response:
        """`DELETE /v1/keys/{key_id}`."""
        _check(caller)
        key = await self._keyring.revoke(request.path_params["key_id"])
        await self._key_gate.refresh()
        return answer_json(describe(key), request)


def _check(caller: Caller) -> None:
    caller.require_admin("the management of keys")
