"""Browser tokens: `trt_<claims>.<mac>`, what a key lets a page do for a while, signed with HMAC-SHA256.

Both parts are base64url without padding; the claims are JSON. A codec is pure: it knows neither keys nor the time.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

import msgspec

PREFIX: Final = "trt_"
LONGEST: Final = 4096

_PURPOSE: Final = b"tailrace browser tokens, version 1"
_TEXT: Final = re.compile(r"trt_([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{43})", re.ASCII)


class Claims(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a token says. None is no restriction; `expires_at` is Unix time in seconds.

    `stamp` is drawn from the key's secret, so that a token dies with a key whose id lives on. A `page`'s token is the
    sign-in of our own pages: all that the key may, but as a cookie alone.
    """

    key_id: str = msgspec.field(name="k")
    stamp: str = msgspec.field(name="t")
    expires_at: int = msgspec.field(name="e")
    user: str | None = msgspec.field(default=None, name="u")
    session_id: str | None = msgspec.field(default=None, name="s")
    models: tuple[str, ...] | None = msgspec.field(default=None, name="m")
    origin: str | None = msgspec.field(default=None, name="o")
    page: bool = msgspec.field(default=False, name="p")


_decode_claims: Final = msgspec.json.Decoder(Claims).decode


class TokenCodec:
    """Signs and reads tokens with a key of their own, derived from the installation's secret."""

    def __init__(self, signing_secret: bytes) -> None:
        self._key = hmac.digest(signing_secret, _PURPOSE, hashlib.sha256)

    def encode(self, claims: Claims) -> str:
        """The signed token."""
        payload = _spell(msgspec.json.encode(claims))
        return f"{PREFIX}{payload}.{self._sign(payload)}"

    def decode(self, text: str) -> Claims | None:
        """What a token says; None where it is none of ours, in whatever way."""
        found = _TEXT.fullmatch(text) if len(text) <= LONGEST else None
        # The spelled signatures are compared: one byte string has more than one spelling.
        if found is None or not hmac.compare_digest(self._sign(found[1]), found[2]):
            return None
        try:
            return _decode_claims(urlsafe_b64decode(found[1] + "=" * (-len(found[1]) % 4)))
        except ValueError:
            return None  # signed by another version of tailrace, whose claims are not known here

    def stamp(self, secret_hash: bytes) -> str:
        """The mark of a key's secret in its tokens."""
        return hmac.digest(self._key, secret_hash, hashlib.sha256)[:9].hex()

    def _sign(self, payload: str) -> str:
        return _spell(hmac.digest(self._key, payload.encode(), hashlib.sha256))


def _spell(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
