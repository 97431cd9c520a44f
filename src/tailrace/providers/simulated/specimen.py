"""What the simulated model says: a Markdown specimen that quotes the prompt, cut into tokens; tool arguments."""

from __future__ import annotations

import json
import re
from typing import Any, Final

_QUOTE_CHARS: Final = 48
_QUOTE_READS: Final = 1_000
_MARKUP: Final = re.compile(r"[\\`*_\[\]<>|~]")
_TOKEN: Final = re.compile(r"\n+| ?\w{1,10}| ?[^\w\s]+|\s")
_SCHEMA_DEPTH: Final = 8
_MOST_SCHEMA_LOOKS: Final = 1_000
_MOST_ARGUMENT_CHARS: Final = 10_000
_SCALARS: Final = {"integer": 1, "number": 1.5, "boolean": True, "null": None}

_MARKDOWN: Final = """\
## A simulated answer

You asked:

> “{quote}”

**No model** ran for this. The answer

1. is the *same* each time,
2. comes token by token,
3. ends as its script says.

| part | kind |
|---|---|
| prompt | yours |
| answer | Markdown |

```python
print("Hello, tailrace!")
```

That is all there is to say about “{quote}”.
"""

_THOUGHT: Final = "The prompt says “{quote}”, so I should quote it, show a list, a table and some code, and then stop. "


def answer_tokens(prompt: str) -> list[str]:
    """One whole specimen, about 100 tokens, for this prompt."""
    return tokenize(_MARKDOWN.format(quote=quote(prompt)))


def thought_tokens(prompt: str) -> list[str]:
    """What the simulated model thinks before it answers."""
    return tokenize(_THOUGHT.format(quote=quote(prompt)))


def tokenize(text: str) -> list[str]:
    """Cut a text into pieces like a model's tokens: words with the space before them, long words in two."""
    return _TOKEN.findall(text)


def quote(prompt: str) -> str:
    """The prompt on one line, shortened, its Markdown characters escaped."""
    line = "".join(filter(_printable, " ".join(prompt[:_QUOTE_READS].split())))
    if len(line) > _QUOTE_CHARS:
        line = line[:_QUOTE_CHARS].rstrip() + "…"
    return _MARKUP.sub(r"\\\g<0>", line) or "nothing"


def arguments(schema: dict[str, Any] | None) -> str:
    """JSON text of arguments that fit a tool's schema, property by property; an empty object where it asks for much."""
    value = _Filler(schema or {}).fill(schema or {})
    text = json.dumps(value if isinstance(value, dict) else {}, separators=(",", ":"))
    return text if len(text) <= _MOST_ARGUMENT_CHARS else "{}"


def _printable(character: str) -> bool:
    """No control characters and no halves of surrogate pairs; emoji are joined by one that passes."""
    return character.isprintable() or character == "\u200d"


class _Filler:
    """Finds values that fit one JSON Schema, and gives up once it has looked at enough of it."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._looks_left = _MOST_SCHEMA_LOOKS

    def fill(self, schema: Any, depth: int = 0) -> Any:
        self._looks_left -= 1
        if not isinstance(schema, dict) or depth > _SCHEMA_DEPTH or self._looks_left < 0:
            return None
        if "const" in schema:
            return schema["const"]
        if isinstance(choices := schema.get("enum"), list) and choices:
            return choices[0]
        if (other := self._other(schema)) is not None:
            return self.fill(other, depth + 1)
        return self._typed(schema, depth)

    def _other(self, schema: dict[str, Any]) -> Any:
        """The schema that stands in for this one: behind a reference, or the first of several."""
        if isinstance(reference := schema.get("$ref"), str):
            return self._resolve(reference)
        choices = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
        return choices[0] if isinstance(choices, list) else None

    def _resolve(self, reference: str) -> Any:
        found: Any = self._root
        for name in reference.removeprefix("#").strip("/").split("/"):
            found = found.get(name) if isinstance(found, dict) else None
        return found

    def _typed(self, schema: dict[str, Any], depth: int) -> Any:
        match _type(schema):
            case "object":
                properties = schema.get("properties")
                named = properties if isinstance(properties, dict) else {}
                return {name: self.fill(inner, depth + 1) for name, inner in named.items()}
            case "array":
                return [self.fill(schema.get("items", {"type": "string"}), depth + 1)]
            case "integer" | "number" as kind:
                return schema.get("minimum", _SCALARS[kind])
            case kind:
                return _SCALARS.get(kind, "simulated")


def _type(schema: dict[str, Any]) -> str:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    return str(kind)
