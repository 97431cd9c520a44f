"""A key as its holder has it: `tr_<id>_<secret>`, the secret 256 random bits in letters and digits.

The id says which key it is, and is no secret. The text is shown once; what is kept is the secret's SHA-256, which needs
no salt and no slow hash: nobody can try out 2^256 secrets.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
from typing import Final

import msgspec

from tailrace.settings import Secret

ADMIN_ID: Final = "admin"
"""The id of the key that settings give, `tr_admin_…`. Made ids are longer."""

_LETTERS: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_ID_LETTERS: Final = string.digits + string.ascii_lowercase
_ID_LENGTH: Final = 12
_SECRET_LENGTH: Final = 43  # 62^43 is the first power of 62 above 2^256
_TEXT: Final = re.compile(r"tr_([0-9a-z]{1,32})_([0-9A-Za-z_-]{43,})", re.ASCII)


class KeyText(msgspec.Struct, frozen=True, kw_only=True):
    """A key's text in its two parts."""

    id: str
    secret: Secret

    def reveal(self) -> str:
        """The whole text, for the one time that it is shown."""
        return f"tr_{self.id}_{self.secret.reveal()}"


def make_text() -> KeyText:
    """A new key, unlike any other."""
    key_id = "".join(secrets.choice(_ID_LETTERS) for _ in range(_ID_LENGTH))
    return KeyText(id=key_id, secret=Secret(_spell(secrets.randbits(256))))


def parse_text(text: str) -> KeyText | None:
    """The parts of what claims to be a key; None where it can't be one."""
    found = _TEXT.fullmatch(text)
    return KeyText(id=found[1], secret=Secret(found[2])) if found else None


def hash_secret(secret: Secret) -> bytes:
    """What is kept of a secret."""
    return hashlib.sha256(secret.reveal().encode()).digest()


def _spell(number: int) -> str:
    """A number in 43 letters and digits."""
    letters = []
    for _ in range(_SECRET_LENGTH):
        number, place = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[place])
    return "".join(letters)
