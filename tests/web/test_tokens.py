"""The codec of browser tokens: what was signed comes back, and nothing else does."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.web.tokens import LONGEST, PREFIX, Claims, TokenCodec

CODEC = TokenCodec(b"k" * 32)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
CLAIMS = st.builds(
    Claims,
    key_id=TEXTS,
    stamp=TEXTS,
    expires_at=st.integers(0, 2**53),
    user=st.none() | TEXTS,
    session_id=st.none() | TEXTS,
    models=st.none() | st.lists(TEXTS, max_size=3).map(tuple),
    origin=st.none() | TEXTS,
)


@given(CLAIMS)
def test_claims_come_back(claims: Claims) -> None:
    """A token says what was signed."""
    token = CODEC.encode(claims)
    assert token.startswith(PREFIX)
    assert CODEC.decode(token) == claims


@given(CLAIMS, st.data())
def test_a_token_with_any_byte_changed_is_refused(claims: Claims, data: st.DataObject) -> None:
    """Whichever byte is replaced, dropped or added, the spelling of the signature's last bits included."""
    token = CODEC.encode(claims)
    place = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.characters(max_codepoint=255).filter(lambda letter: letter != token[place]))
    assert CODEC.decode(token[:place] + letter + token[place + 1 :]) is None
    assert CODEC.decode(token[:place] + letter + token[place:]) is None
    assert CODEC.decode(token[:place] + token[place + 1 :]) is None


def test_every_other_spelling_of_a_signature_is_refused() -> None:
    """base64url has four spellings of a last byte; one of them alone is the token."""
    token = CODEC.encode(Claims(key_id="k", stamp="s", expires_at=1))
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert [letter for letter in letters if CODEC.decode(token[:-1] + letter) is not None] == [token[-1]]
    assert CODEC.decode(f"{token}=") is None


@given(st.text())
def test_any_text_is_a_token_or_none(text: str) -> None:
    """No text makes reading fail."""
    assert CODEC.decode(text) is None
    assert CODEC.decode(PREFIX + text) is None


def test_another_installations_token_is_refused() -> None:
    """A token is worth nothing where the signing secret is another."""
    assert TokenCodec(b"o" * 32).decode(CODEC.encode(Claims(key_id="k", stamp="s", expires_at=1))) is None


def test_the_secret_itself_signs_no_token() -> None:
    """Tokens are signed with a key of their own, so that whatever else the secret signs can't pass for one."""
    payload = base64.urlsafe_b64encode(json.dumps({"k": "a", "t": "", "e": 1}).encode()).rstrip(b"=")
    mac = base64.urlsafe_b64encode(hmac.digest(b"k" * 32, payload, hashlib.sha256)).rstrip(b"=")
    assert CODEC.decode(f"trt_{payload.decode()}.{mac.decode()}") is None


@pytest.mark.parametrize("claims", [b"", b"[]", b'{"k":"a"}', b'{"k":"a","t":"","e":1,"zz":1}', b"\xff"])
def test_claims_of_another_version_are_refused(claims: bytes) -> None:
    """What is signed but can't be understood in full restricts nothing that is known here, so it is no token."""
    payload = base64.urlsafe_b64encode(claims).rstrip(b"=").decode()
    assert CODEC.decode(f"trt_{payload}.{CODEC._sign(payload)}") is None


def test_a_long_token_is_not_even_looked_at() -> None:
    """What is longer than any token that is issued is refused unread."""
    assert CODEC.decode(CODEC.encode(Claims(key_id="k", stamp="s", expires_at=1, user="u" * LONGEST))) is None


def test_a_stamp_tells_secrets_apart() -> None:
    """A key with another secret has another stamp, and the stamp is not the hash."""
    assert CODEC.stamp(b"a" * 32) != CODEC.stamp(b"b" * 32)
    assert CODEC.stamp(b"a" * 32) == CODEC.stamp(b"a" * 32)
