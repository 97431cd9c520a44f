"""JSON payloads as upstreams really send them: decoded at once when tidy, looked at again when not."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, Generic, TypeAlias, TypeVar

import msgspec

from tailrace.errors import WireError

T = TypeVar("T")

UNTIDY: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What `PayloadDecoder.decode` raises on a payload that `PayloadDecoder.mend` may still read."""

Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
"""A number of tokens that can be believed."""

Index: TypeAlias = Annotated[int, msgspec.Meta(ge=0, lt=1 << 16)]
"""A choice's place among the answer's choices."""

# More than any message keeps, so that no secret is cut in two before it can be masked.
_EXCERPT: Final = 2000


class PayloadDecoder(Generic[T]):
    """Decodes one JSON payload into `shape`, a Struct with only the fields in use.

    `decode` is quick and strict. Where it raises one of `UNTIDY`, `mend` reads the payload again and forgives what
    servers have been seen to do: text that is not UTF-8, halves of surrogate pairs, NaN, null for a field that has a
    default, numbers in quotes, whole numbers with a fraction. Fields in `expendable` are given up if they alone are in
    the way. `mend` raises WireError where nothing helps. `read` is the one, then the other.
    """

    def __init__(self, shape: type[T], *, expendable: tuple[str, ...] = ()) -> None:
        self.decode = msgspec.json.Decoder(shape).decode
        self._decode_loosely = msgspec.json.Decoder(shape, strict=False).decode
        self._expendable = expendable

    def read(self, payload: bytes) -> T:
        """Decode a payload, tidy or not. Raises WireError."""
        try:
            return self.decode(payload)
        except UNTIDY:
            return self.mend(payload)

    def mend(self, payload: bytes) -> T:
        """Read a payload that is not quite as it should be."""
        try:
            value = _tidy(parse_loosely(payload))
        except RecursionError:
            raise WireError("the JSON is nested too deeply") from None
        try:
            return self._convert(value)
        except WireError:
            if not isinstance(value, dict) or not value.keys() & self._expendable:
                raise
            return self._convert({key: value[key] for key in value.keys() - self._expendable})

    def _convert(self, value: Any) -> T:
        try:
            return self._decode_loosely(msgspec.json.encode(value))
        except (msgspec.MsgspecError, OverflowError, RecursionError) as error:
            raise WireError(f"the JSON has an unknown shape: {error}") from None


def parse_loosely(payload: bytes) -> Any:
    """Parse JSON that may open with a BOM and hold bytes that are not UTF-8, or NaN; raises WireError."""
    text = payload.decode("utf-8-sig", "replace")
    try:
        return json.loads(text, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        raise WireError(f"expected JSON, got {text[:_EXCERPT]!r}") from None


def write_json(value: Any) -> str:
    """The JSON text of a parsed value. Raises WireError for one that a log could not hold."""
    try:
        return msgspec.json.encode(value).decode()
    except (OverflowError, RecursionError) as error:
        raise WireError(f"the JSON holds what can't be kept: {error}") from None


def _tidy(value: Any) -> Any:
    match value:
        case dict():
            return {_join_surrogates(key): _tidy(item) for key, item in value.items() if item is not None}
        case list():
            return [_tidy(item) for item in value]
        case str():
            return _join_surrogates(value)
        case float() if value.is_integer():
            return int(value)
    return value


def _join_surrogates(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
