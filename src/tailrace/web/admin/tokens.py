"""`/v1/tokens`: what a key hands to a browser."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from tailrace.errors import RequestError
from tailrace.keys import check_models, parse_json
from tailrace.settings import Models
from tailrace.web.admin.bodies import TokenBody
from tailrace.web.admin.keys import LARGEST_BODY
from tailrace.web.auth import APPLICATION, AllowLists, Caller, KeyGate
from tailrace.web.bodies import read_json
from tailrace.web.exchanges import answer_json


class Tokens:
    """Issues tokens to whoever came with a key."""

    def __init__(self, key_gate: KeyGate, models: Models) -> None:
        self._key_gate = key_gate
        self._models = models
        self._allow_lists = AllowLists(models)

    async def issue(self, request: Request, caller: Caller) -> Response:
        """`POST /v1/tokens`."""
        caller.refuse_token("another token")
        if caller.key.id == APPLICATION.id:
            raise RequestError(403, "keys_only", "tokens are made by keys; here the application knows its users itself")
        body = parse_json(await read_json(request, max_body=LARGEST_BODY), TokenBody)
        self._check_models(caller, body.models or [])
        issued = self._key_gate.issue(caller, body.to_terms())
        return answer_json({"token": issued.token, "expires_at": issued.expires_at}, request)

    def _check_models(self, caller: Caller, names: list[str]) -> None:
        """A token's models must be known, and be the key's own."""
        for name in check_models(names, self._models):
            try:
                model = self._models.resolve(name)
            except RequestError:
                continue  # its provider is off
            self._allow_lists.check(caller, model)
