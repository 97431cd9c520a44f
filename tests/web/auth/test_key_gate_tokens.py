"""Browser tokens at the gate: what they allow, and when they die."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.ledger_fake import FakeLedger
from tests.web.auth.asking import NOW, Clock, add_key, carrying, make_gate, refusal, request, told

from tailrace.errors import RequestError
from tailrace.keys import make_text
from tailrace.ledger import Key
from tailrace.settings import Secret
from tailrace.web.auth import ADMIN, LOCAL, Caller, KeyGate, Terms

pytestmark = pytest.mark.usefixtures("no_leaks")


async def issue(gate: KeyGate, ledger: FakeLedger, **terms: Any) -> tuple[Key, str]:
    """A key, and a token of it."""
    key, text = await add_key(ledger)
    caller = await gate.admit(carrying(text))
    return key, gate.issue(caller, Terms(**{"ttl_s": 60, **terms})).token


async def test_a_token_carries_its_terms(gate: KeyGate, ledger: FakeLedger) -> None:
    """As `?token=`, Bearer or X-API-Key: the key, the user, the session and the models it was made for."""
    key, token = await issue(gate, ledger, user="u", session_id="s", models=("simulated",))
    expected = Caller(key=key, user="u", by_token=True, session_id="s", models=("simulated",))
    for asked in (
        request(query=f"message=Hi&token={token}"),
        request({"authorization": f"Bearer {token}"}),
        carrying(token),
    ):
        assert await gate.admit(asked) == expected


async def test_terms_that_no_token_can_hold_are_refused(gate: KeyGate) -> None:
    """What is issued is also taken: a token that would be too long is none."""
    with pytest.raises(RequestError) as caught:
        gate.issue(Caller(key=ADMIN), Terms(ttl_s=60, models=("m" * 200,) * 20))
    assert caught.value.status == 422


async def test_a_header_comes_before_the_query(gate: KeyGate, ledger: FakeLedger) -> None:
    """A token in the query lends nothing to a wrong key in a header."""
    _, token = await issue(gate, ledger)
    asked = request({"x-api-key": make_text().reveal()}, query=f"token={token}")
    assert (await refusal(gate, asked)).status == 401


async def test_a_token_ends_at_its_time(gate: KeyGate, ledger: FakeLedger, clock: Clock) -> None:
    """At the second it expires it is refused, which costs its address no guess."""
    _, text = await add_key(ledger)
    issued = gate.issue(await gate.admit(carrying(text)), Terms(ttl_s=60))
    assert issued.expires_at == NOW + 60
    clock.now += 59.9
    await gate.admit(carrying(issued.token))
    clock.now += 0.1
    assert told(await refusal(gate, carrying(issued.token))) == told(await refusal(gate, request()))


async def test_a_token_dies_with_its_key(gate: KeyGate, ledger: FakeLedger, clock: Clock) -> None:
    """Revoked or expired keys have no living tokens, on a worker that never saw the key either."""
    key, token = await issue(gate, ledger)
    other = make_gate(ledger, clock)
    await other.open()
    assert (await other.admit(carrying(token))).key == key
    await ledger.change_key(msgspec.structs.replace(key, revoked_at=NOW))
    for each in (gate, other):
        await each.refresh()
        assert (await refusal(each, carrying(token))).status == 401
    await other.close()


async def test_a_token_of_an_admin_key_dies_when_it_is_replaced(ledger: FakeLedger, clock: Clock) -> None:
    """The admin's id stays the same, so the token is bound to the secret too."""
    gates = [KeyGate(ledger, Secret("tr_admin_" + letter * 43), clock=clock) for letter in "ab"]
    for gate in gates:
        await gate.open()
    token = gates[0].issue(Caller(key=ADMIN), Terms(ttl_s=60)).token
    caller = await gates[0].admit(carrying(token))
    assert (caller.key, caller.admin) == (ADMIN, False)
    assert (await refusal(gates[1], carrying(token))).status == 401
    for gate in gates:
        await gate.close()


async def test_a_token_of_open_mode_ends_with_it(gate: KeyGate) -> None:
    """What the local admin issued is worth nothing once keys count."""
    token = gate.issue(Caller(key=LOCAL), Terms(ttl_s=60)).token
    assert (await refusal(gate, carrying(token))).status == 401


async def test_a_token_that_is_bound_to_an_origin_works_there_alone(gate: KeyGate, ledger: FakeLedger) -> None:
    """Another origin is refused, an opaque one too; none passes only where the browser says same-origin."""
    _, token = await issue(gate, ledger, origin="https://app.example")
    await gate.admit(carrying(token, origin="https://app.example"))
    await gate.admit(carrying(token, origin="https://APP.example"))
    await gate.admit(carrying(token, sec_fetch_site="same-origin"))
    refused = [
        carrying(token), carrying(token, sec_fetch_site="cross-site"), carrying(token, sec_fetch_site="same-site"),
        carrying(token, sec_fetch_site="none"), carrying(token, origin="null"),
        carrying(token, origin="https://app.example.evil.example"), carrying(token, origin="http://app.example"),
        carrying(token, origin="https://evil.example", sec_fetch_site="same-origin"),
    ]  # fmt: skip
    for asked in refused:
        error = await refusal(gate, asked)
        assert (error.status, error.code) == (403, "origin_refused")
