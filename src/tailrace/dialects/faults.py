"""What is wrong with a body: the first of Pydantic's complaints, as an HTTP error that says where and what is right."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias, get_args

from pydantic import BaseModel, ValidationError

from tailrace.errors import RequestError

Location: TypeAlias = Sequence[int | str]

_LONGEST_FIELD: Final = 200
_LONGEST_NAME: Final = 60

# Which branch of a union was taken stands in Pydantic's locations too, but in no client's body.
_BRANCH: Final = re.compile(r"<\w+>")
_INDEX: Final = re.compile(r"\.(\d+)(?=\.|$)", re.ASCII)


def explain(error: ValidationError, model: type[BaseModel]) -> RequestError:
    """The first fault of a body that should be a `model`, or a list of them: 400 not JSON, 422 all else."""
    first = error.errors(include_url=False)[0]
    if first["type"] == "json_invalid":
        return RequestError(400, "invalid_json", f"the body is not JSON: {first['msg'].removeprefix('Invalid JSON: ')}")
    location = first["loc"]
    field = ".".join(map(str, own_places(location)))[:_LONGEST_FIELD] or None
    if first["type"] == "extra_forbidden":
        message = unknown(str(location[-1]), _fields_at(model, location[:-1]))
        return RequestError(422, "unknown_field", message, field=field)
    if first["type"] == "model_type":
        return RequestError(422, "invalid_field", f"{field or 'the body'} must be a JSON object", field=field)
    message = first["msg"].removeprefix("Value error, ")
    return RequestError(422, "invalid_field", f"{field}: {message}" if field else message, field=field)


def _code_of(kind: str) -> str:
    return "unsupported" if kind == "unsupported" else "invalid_value"


def explain_as_vendors(
    error: ValidationError, *, write_place: Callable[[str], str] = str, code_of: Callable[[str], str] = _code_of
) -> RequestError:
    """The same as vendors tell it: 400 whatever it is, with a code of theirs, and the place as they write it."""
    first = error.errors(include_url=False, include_input=False)[0]
    kind = first["type"]
    told = "must not be empty" if kind == "too_short" else first["msg"].removeprefix("Value error, ")
    if kind == "json_invalid":
        return RequestError(400, "invalid_json", f"the body is not JSON: {told.removeprefix('Invalid JSON: ')}")
    place = write_place(".".join(map(str, own_places(first["loc"]))))
    if not place:
        return RequestError(400, "invalid_type", "the body must be a JSON object")
    return RequestError(400, code_of(kind), f"{place}: {told}", field=place)


def in_brackets(place: str) -> str:
    """A place with its numbers in brackets: `messages.0.content` as `messages[0].content`."""
    return _INDEX.sub(r"[\1]", place)


def unknown(name: str, known: Iterable[str]) -> str:
    """What to say of a field that does not exist."""
    nearest = difflib.get_close_matches(name[:_LONGEST_NAME], known, n=1)
    hint = f"; did you mean {nearest[0]}?" if nearest else ""
    return f"unknown field {json.dumps(name[:_LONGEST_NAME], ensure_ascii=False)}{hint}"


def find_place(field: str | None, words: Mapping[str, str]) -> str | None:
    """Where a field that is told in tailrace's words stands in a format that has other `words` for some.

    Below those it is not told: a turn of the conversation, say, has another number there.
    """
    return None if field is None else words.get(re.split(r"[.\[]", field, maxsplit=1)[0], field)


def lead(place: str | None, message: str) -> str:
    """The message with the place before it, for errors of a shape that has no other place for that."""
    return message if place is None or message.startswith(place) else f"{place}: {message}"


def own_places(location: Location) -> list[int | str]:
    """A location without the branches of unions."""
    return [place for place in location if isinstance(place, int) or not _BRANCH.fullmatch(place)]


def _fields_at(model: type[BaseModel], location: Location) -> list[str]:
    """The names of the fields that there are at a place in a body."""
    models = [model]
    for place in own_places(location):
        if isinstance(place, str):
            models = [inner for outer in models for inner in _models_of_field(outer, place)]
    return [field.alias or name for found in models for name, field in found.model_fields.items()]


def _models_of_field(model: type[BaseModel], name: str) -> Iterator[type[BaseModel]]:
    field = model.model_fields.get(name)
    return iter(()) if field is None else _models_in(field.annotation)


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)
