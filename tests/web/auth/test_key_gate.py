"""The gate of keys: who passes, who does not, and that nobody learns why."""

from __future__ import annotations

import hmac
from typing import Any

import msgspec
import pytest
from tests.ledger_fake import FakeLedger
from tests.waiting import until
from tests.web.auth.asking import ADMIN_KEY, NOW, Clock, add_key, carrying, make_gate, refusal, request, told

from tailrace.errors import SettingsError
from tailrace.keys import KeyText, make_text
from tailrace.settings import Secret
from tailrace.web.auth import ADMIN, Caller, KeyGate, Terms

pytestmark = pytest.mark.usefixtures("no_leaks")


async def test_a_key_passes_in_either_header(gate: KeyGate, ledger: FakeLedger) -> None:
    """X-API-Key or Bearer, in any case; the caller is the key."""
    key, text = await add_key(ledger, models=("simulated",))
    for headers in ({"x-api-key": text}, {"authorization": f"Bearer {text}"}, {"authorization": f"bearer  {text} "}):
        assert await gate.admit(request(headers)) == Caller(key=key)
    assert await gate.admit(carrying(ADMIN_KEY)) == Caller(key=ADMIN)
    assert ledger.lookups == [key.id]


async def test_every_refusal_is_the_same(gate: KeyGate, ledger: FakeLedger) -> None:
    """Missing, malformed, unknown, wrong, expired, revoked: nobody can tell which."""
    _, right = await add_key(ledger)
    _, expired = await add_key(ledger, expires_at=NOW - 1)
    _, revoked = await add_key(ledger, revoked_at=NOW - 1)
    await gate.admit(carrying(right))
    wrong = [
        "", "x", "tr_", "ключ", make_text().reveal(), right[:-1] + ("a" if right[-1] != "a" else "b"), right + "a",
        ADMIN_KEY + "k", ADMIN_KEY[:-1] + "x", expired, revoked, "trt_x", "trt_" + "x" * 50 + "." + "y" * 43,
    ]  # fmt: skip
    seen = {str(told(await refusal(gate, carrying(key)))) for key in wrong}
    seen |= {str(told(await refusal(gate, request()))), str(told(await refusal(gate, carrying(expired))))}
    assert len(seen) == 1
    error = await refusal(gate, request())
    assert (error.status, error.code, error.headers) == (401, "unauthorized", {"www-authenticate": "Bearer"})


async def test_every_refused_key_costs_the_same_work(
    gate: KeyGate, ledger: FakeLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One look into the ledger and one constant-time comparison of whole hashes, whatever is wrong with a key."""
    compared: list[tuple[int, int]] = []
    compare = hmac.compare_digest

    def watch(one: Any, other: Any) -> bool:
        compared.append((len(one), len(other)))
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", watch)
    key, right = await add_key(ledger)
    _, expired = await add_key(ledger, expires_at=NOW - 1)
    _, revoked = await add_key(ledger, revoked_at=NOW - 1)
    another = KeyText(id=key.id, secret=make_text().secret).reveal()
    for wrong in (make_text().reveal(), "malformed", another, expired, revoked, "tr_admin_" + "x" * 43):
        compared.clear()
        ledger.lookups.clear()
        await refusal(gate, carrying(wrong))
        assert len(ledger.lookups) == 1
        assert compared[-1] == (32, 32)
    assert (await gate.admit(carrying(right))).key == key


async def test_a_key_ends_at_its_time(gate: KeyGate, ledger: FakeLedger, clock: Clock) -> None:
    """The moment it expires it is refused, though it was seen before."""
    _, text = await add_key(ledger, expires_at=NOW + 10)
    await gate.admit(carrying(text))
    clock.now += 9.9
    await gate.admit(carrying(text))
    clock.now += 0.1
    assert (await refusal(gate, carrying(text))).status == 401


async def test_a_revocation_elsewhere_stops_every_worker(ledger: FakeLedger, clock: Clock) -> None:
    """Two gates on one ledger, as two workers: both hear of it, and tell whoever ends streams."""
    gates = [make_gate(ledger, clock) for _ in range(2)]
    revoked: list[str] = []
    key, text = await add_key(ledger)
    for gate in gates:
        await gate.open()
        gate.on_revoked(revoked.append)
    callers = [await gate.admit(carrying(text)) for gate in gates]
    assert all(gate.honours(caller) for gate, caller in zip(gates, callers, strict=True))
    await ledger.change_key(msgspec.structs.replace(key, revoked_at=NOW))
    await until(lambda: revoked == [key.id, key.id])
    for gate, caller in zip(gates, callers, strict=True):
        assert (await refusal(gate, carrying(text))).status == 401
        assert not gate.honours(caller)
        await gate.close()


async def test_seen_keys_pass_while_the_database_is_down(gate: KeyGate, ledger: FakeLedger) -> None:
    """A key that was seen, the admin's and tokens pass; others are asked to come again, and it costs them no guess."""
    _, text = await add_key(ledger)
    _, unseen = await add_key(ledger)
    caller = await gate.admit(carrying(text))
    token = gate.issue(caller, Terms(ttl_s=60)).token
    ledger.down = True
    for credential in (text, ADMIN_KEY, token):
        await gate.admit(carrying(credential))
    for _ in range(3):
        error = await refusal(gate, carrying(unseen))
        assert (error.status, error.code, error.headers) == (503, "store_unavailable", {"retry-after": "1"})
    await gate.refresh()
    ledger.down = False
    await gate.admit(carrying(unseen))


async def test_wrong_keys_are_held_up_and_right_ones_are_not(ledger: FakeLedger, clock: Clock) -> None:
    """After its wrong keys an address gets 429 without a look at the ledger, others are let be, seen keys pass."""
    gate = make_gate(ledger, clock, at_once=3)
    await gate.open()
    _, text = await add_key(ledger)
    await gate.admit(carrying(text))
    statuses = [(await refusal(gate, carrying(make_text().reveal()))).status for _ in range(5)]
    assert statuses == [401, 401, 401, 429, 429]
    assert len(ledger.lookups) == 4
    assert (await refusal(gate, carrying("trt_x.y"))).status == 429
    await gate.admit(carrying(text))
    elsewhere = request({"x-api-key": make_text().reveal()}, client="192.0.2.2")
    assert (await refusal(gate, elsewhere)).status == 401
    assert (await refusal(gate, request())).status == 401
    await gate.close()


async def test_new_keys_cost_no_guess(ledger: FakeLedger, clock: Clock) -> None:
    """Many right keys that come for the first time, from one address and at once, all pass."""
    gate = make_gate(ledger, clock, at_once=2)
    await gate.open()
    for _ in range(10):
        await gate.admit(carrying((await add_key(ledger))[1]))
    await gate.close()


async def test_a_key_in_the_query_is_refused(gate: KeyGate, ledger: FakeLedger) -> None:
    """Where a token may stand a key may not, and the answer does not repeat it."""
    _, text = await add_key(ledger)
    for query in (f"token={text}", "token=", "token=x"):
        error = await refusal(gate, request(query=query))
        assert (error.status, error.code, error.field) == (400, "key_in_query", "token")
        assert text not in error.message


@pytest.mark.parametrize("key", ["", "x", "tr_admin_short", "tr_other_" + "k" * 43])
def test_an_admin_key_that_is_none_is_a_wrong_setting(ledger: FakeLedger, key: str) -> None:
    """Settings made in Python are checked too, and the error does not show what was given."""
    with pytest.raises(SettingsError, match="tr_admin_") as caught:
        KeyGate(ledger, Secret(key))
    assert not key or key not in str(caught.value).replace("tr_admin_ and", "")


def test_a_gate_that_is_not_open_says_so(ledger: FakeLedger) -> None:
    """Whoever forgets the life cycle is told, not let in."""
    with pytest.raises(RuntimeError, match="not open"):
        KeyGate(ledger).issue(Caller(key=ADMIN), Terms(ttl_s=60))


async def test_nothing_shows_a_secret(gate: KeyGate, ledger: FakeLedger, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither the gate, its errors, its callers nor what is printed holds a secret that came by."""
    _, right = await add_key(ledger)
    wrong, token = make_text().reveal(), gate.issue(Caller(key=ADMIN), Terms(ttl_s=60)).token
    caller = await gate.admit(carrying(right))
    error = await refusal(gate, carrying(wrong))
    written = repr((gate, vars(gate), caller, error, vars(error), ledger.lookups)) + "".join(capfd.readouterr())
    for secret in (right, wrong, token, ADMIN_KEY):
        assert secret.split("_")[-1] not in written
