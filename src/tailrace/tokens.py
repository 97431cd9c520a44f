"""Counts tokens with the model's own vocabulary, or says that it could only estimate.

The vocabularies are splintr's, all of them inside its package, so counting never asks the network. A vocabulary is
loaded at its first use and kept, which takes a fifth of a second or so and tens of megabytes. Counting is pure CPU work
and splintr holds the interpreter's lock while it works: let a thread count long texts, and load what is not `ready`.
There texts are cut into pieces, so that the event loop gets its turn between them.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator
from typing import Any, Final, Protocol

import msgspec
import structlog

from tailrace.events import UsageSource
from tailrace.requests import ChatRequest, Image, Message, Native, Part, Reasoning, Text, Tool, ToolCall, ToolResult

_UNKNOWN_MODEL: Final = "o200k_base"

_VOCABULARIES: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(pattern), vocabulary)
    for pattern, vocabulary in (
        (r"gpt-oss", "gpt-oss"),
        (r"gpt-4o|gpt-4\.\d", "o200k_base"),
        (r"gpt-4|gpt-3\.?5", "cl100k_base"),
        # A distilled model keeps the vocabulary of the model that learned, whoever taught it.
        (r"distill-llama", "llama3"),
        (r"distill-qwen", "qwen3"),
        (r"deepseek", "deepseek_v3"),
        (r"code-?llama", "codellama"),
        (r"llama-?4", _UNKNOWN_MODEL),
        (r"llama-?2|tinyllama|vicuna|phi-?3", "llama2"),
        (r"llama", "llama3"),
        (r"qwen|qwq", "qwen3"),
        (r"mixtral-8x7b|mistral-7b.*v0\.[12]", "mistral_v1"),
        (r"mixtral|codestral|mistral[:-]7b|^mistral$", "mistral_v2"),
        (r"(mi|mini|magi|dev)stral|(pix|vox)tral", "mistral_v3"),
        (r"gemma-?4", "gemma4"),
        (r"codegemma|gemma-?[12]|gemma(:|-7b|-2b)", "gemma2"),
        (r"gemma|gemini", "gemma3"),
        (r"kimi-?k3", "kimi_k3"),
        (r"kimi|moonshot", "kimi_k2"),
        (r"glm", "glm4"),
        (r"phi-?4(?!-mini|-multi)", "phi4"),
        (r"olmo-?2", "olmo2"),
    )
)

_PIECE_CHARS: Final = 8 << 10
_BYTES_PER_TOKEN: Final = 4
_MESSAGE_FRAME_TOKENS: Final = 4
_IMAGE_TOKENS: Final = 765
_SMALL_IMAGE_TOKENS: Final = 85
_ENCODED: Final = frozenset({"data", "encrypted_content", "encrypted_index"})
_UNCOMMON_WORD: Final = "Zxqvyk"

# Where every vocabulary begins a new token anyway: before a single space between two words.
_SEAM: Final = re.compile(r"(?<=\w)(?= \w)")

_log = structlog.get_logger(__name__)


class _Tokenizer(Protocol):
    def encode_ordinary(self, text: str) -> list[int]: ...


class _Shelf:
    """The vocabularies loaded so far; None stands for one that could not be loaded."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loaded: dict[str, _Tokenizer | None] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._loaded

    def get(self, name: str) -> _Tokenizer | None:
        if name not in self._loaded:
            self._fetch(name)
        return self._loaded[name]

    def _fetch(self, name: str) -> None:
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = _load(name)


_shelf: Final = _Shelf()


def ready(model: str) -> bool:
    """Whether this model's vocabulary is loaded, so that counting a short text takes microseconds."""
    return vocabulary(model) in _shelf


def count(text: str, model: str) -> tuple[int, UsageSource]:
    """How many tokens `text` is for `model`, and whether that is counted or estimated. Any thread may ask."""
    if not text:
        return 0, "counted"
    tokenizer = _shelf.get(vocabulary(model))
    if tokenizer is None:
        return _estimate(text), "estimated"
    try:
        return sum(len(tokenizer.encode_ordinary(piece)) for piece in _pieces(_sound(text))), "counted"
    except Exception:
        _log.exception("counting_failed", model=model)
        return _estimate(text), "estimated"


def count_request(request: ChatRequest, model: str) -> tuple[int, UsageSource]:
    """How many tokens a request is for `model`: all text, tool schemas as JSON, a few for each message's frame.

    What an image costs is each vendor's own secret, so a request with one is always `estimated`.
    """
    text = "\n".join(piece for piece in _texts(request) if piece)
    counted, source = count(text, model)
    images = sum(_image_tokens(image) for image in _images(request))
    total = counted + images + _MESSAGE_FRAME_TOKENS * len(request.messages)
    return total, "estimated" if images else source


def length(request: ChatRequest) -> int:
    """How many characters `count_request` has to read."""
    return sum(map(len, _texts(request)))


def vocabulary(model: str) -> str:
    """The name of the vocabulary that a model reads, o200k's where the model is not known."""
    name = model.rsplit("/", 1)[-1].lower()
    return next((found for pattern, found in _VOCABULARIES if pattern.search(name)), _UNKNOWN_MODEL)


def _load(name: str) -> _Tokenizer | None:
    try:
        from splintr import Tokenizer

        tokenizer = Tokenizer.from_pretrained(name)
        # The first word that is no token of its own builds the merge table; in a batch, without the interpreter's lock.
        tokenizer.encode_batch([_UNCOMMON_WORD])
    except Exception as error:
        _log.warning("vocabulary_not_loaded", vocabulary=name, error=str(error), effect="tokens are estimated")
        return None
    return tokenizer


def _estimate(text: str) -> int:
    return -(-len(text.encode("utf-8", "replace")) // _BYTES_PER_TOKEN)


def _sound(text: str) -> str:
    """The text without lone surrogates, which no vocabulary can spell."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _pieces(text: str) -> Iterator[str]:
    start = 0
    while len(text) - start > _PIECE_CHARS:
        end = start + _PIECE_CHARS
        seam = _SEAM.search(text, end, end + _PIECE_CHARS)
        end = seam.end() if seam else end
        yield text[start:end]
        start = end
    yield text[start:]


def _texts(request: ChatRequest) -> Iterator[str]:
    for message in request.messages:
        for part in _flat(message):
            yield from _part_texts(part)
    for tool in request.tools:
        yield _schema(tool)


def _flat(message: Message) -> Iterator[Part]:
    for part in message.parts:
        yield part
        if isinstance(part, ToolResult):
            yield from part.content


def _part_texts(part: Part) -> Iterable[str]:
    match part:
        case Text(text=text) | Reasoning(text=text):
            return (text,)
        case ToolCall(name=name, arguments=arguments):
            return (name, arguments)
        case Native(needs=needs):
            return _strings(needs)
        case Image() | ToolResult():
            return ()


def _strings(value: Any) -> Iterator[str]:
    """All text in a value of JSON, without what is encoded: a picture, a PDF, another's cipher."""
    match value:
        case str():
            yield value
        case dict():
            for name, item in value.items():
                if name not in _ENCODED or value.get("type") == "text":
                    yield from _strings(item)
        case list():
            for item in value:
                yield from _strings(item)


def _schema(tool: Tool) -> str:
    told = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return msgspec.json.encode(told if tool.native is None else {**told, **tool.native.needs}).decode()


def _images(request: ChatRequest) -> Iterator[Image]:
    return (part for message in request.messages for part in _flat(message) if isinstance(part, Image))


def _image_tokens(image: Image) -> int:
    return _SMALL_IMAGE_TOKENS if image.detail == "low" else _IMAGE_TOKENS
