"""Values that no log, error or `repr` may show."""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

_MASK = "***"


class Secret:
    """A text that is seen only by who asks for it with `reveal`."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __str__(self) -> str:
        return _MASK

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash((type(self), self._text))


class SecretUrl(Secret):
    """A URL that may carry a password: it shows its scheme, host and path, never its user or its query."""

    __slots__ = ()

    def __str__(self) -> str:
        url = urlsplit(self._text)
        user, at, host = url.netloc.rpartition("@")
        query = f"?{_MASK}" if url.query else ""
        return f"{url.scheme}://{_MASK if user else ''}{at}{host}{url.path}{query}"
