"""A key's text: made, read, hashed, and never shown by accident."""

from __future__ import annotations

import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.keys import ADMIN_ID, KeyText, hash_secret, make_text, parse_text
from tailrace.settings import Secret


def test_a_made_key_is_read_back() -> None:
    """A new key's text gives the same id and secret."""
    text = make_text()
    assert parse_text(text.reveal()) == text


def test_made_keys_differ_and_their_secrets_hold_256_bits() -> None:
    """No two are alike; 43 letters and digits hold any number below 2^256, and no id is the admin's."""
    made = [make_text() for _ in range(200)]
    assert len({text.id for text in made}) == len({text.secret.reveal() for text in made}) == 200
    assert {len(text.secret.reveal()) for text in made} == {43}
    assert 62**43 > 2**256
    assert all(text.secret.reveal().isalnum() and text.id != ADMIN_ID for text in made)


def test_what_is_kept_is_the_hash_of_the_secret() -> None:
    """SHA-256 of the secret part alone."""
    text = make_text()
    assert hash_secret(text.secret) == hashlib.sha256(text.reveal().split("_")[2].encode()).digest()


def test_the_admin_key_of_the_settings_is_a_key() -> None:
    """`tr_admin_…` has the id `admin`, whatever its secret is made of."""
    assert parse_text("tr_admin_" + "-_" * 30) == KeyText(id=ADMIN_ID, secret=Secret("-_" * 30))


@given(st.text() | st.from_regex(r"tr_[a-z0-9]*_[A-Za-z0-9_-]{35,50}\n?", fullmatch=True))
def test_any_text_is_a_key_or_none(text: str) -> None:
    """No text makes reading fail, and what is read as a key is exactly that text."""
    read = parse_text(text)
    assert read is None or read.reveal() == text


@pytest.mark.parametrize(
    "text",
    ["", "tr_", "tr_a_" + "k" * 42, "tr_A_" + "k" * 43, "xx_a_" + "k" * 43, "tr__" + "k" * 43,
     "tr_a_" + "k" * 43 + "\n", "tr_a_" + "ключ" * 11, "tr_٣_" + "k" * 43, f" tr_a_{'k' * 43}", "trt_a_" + "k" * 43],
)  # fmt: skip
def test_what_is_no_key_is_none(text: str) -> None:
    """Wrong prefixes, short secrets, other letters and blanks are no key."""
    assert parse_text(text) is None


def test_a_secret_shows_itself_to_nobody() -> None:
    """Neither `repr` nor `str` of a key's text, nor an encoder, gives the secret away."""
    text = make_text()
    secret = text.secret.reveal()
    assert secret not in repr(text)
    assert secret not in str(text)
    with pytest.raises(TypeError):
        msgspec.json.encode(text)
