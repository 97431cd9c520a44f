"""Somebody with a key of their own, so that the usage of this key is theirs alone."""

from __future__ import annotations

from typing import Final, cast

from tests.reader import Answer, ask
from tests.system.books import Row
from tests.waiting import eventually

ADMIN_KEY: Final = "tr_admin_" + "canary-admin-key-".ljust(43, "k")


class Customer:
    """`headers` carry the key. `id` is the key's."""

    def __init__(self, url: str, id_: str, key: str) -> None:
        self.url = url
        self.id = id_
        self.key = key
        self.headers = {"x-api-key": key}

    def at(self, url: str) -> Customer:
        """The same at another server."""
        return Customer(url, self.id, self.key)

    async def ask(self, method: str, target: str, body: object = None, **headers: str) -> Answer:
        """Ask with the key and wait for the whole answer."""
        return await ask(self.url, method, target, body, headers={**self.headers, **headers})

    async def rows(self) -> list[Row]:
        """All rows of the key, newest first."""
        answer = await self.ask("GET", "/v1/usage/generations?limit=500")
        assert answer.status == 200, answer.body
        return cast("list[Row]", answer.json()["data"])

    async def settled(self, count: int = 1) -> list[Row]:
        """The rows, once there are so many and none runs."""
        return await eventually(
            self.rows, lambda rows: len(rows) >= count and all(row["status"] != "running" for row in rows)
        )

    async def row(self) -> Row:
        """The one row there is, once it is settled."""
        (row,) = await self.settled()
        return row


async def new_customer(url: str, **terms: object) -> Customer:
    """Make a key on these terms."""
    answer = await ask(url, "POST", "/v1/keys", {"name": "customer", **terms}, headers={"x-api-key": ADMIN_KEY})
    assert answer.status == 201, answer.body
    made = answer.json()
    return Customer(url, made["id"], made["key"])
