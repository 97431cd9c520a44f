"""Counting tokens: the right vocabulary, exact figures, honest labels."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace import tokens
from tailrace.requests import (
    ChatRequest,
    Image,
    Message,
    Native,
    Reasoning,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    user_message,
)

PROSE = "It was a bright cold day in April, and the clocks were striking thirteen. " * 2_800


def requested(*messages: Message, tools: tuple[Tool, ...] = ()) -> ChatRequest:
    return ChatRequest(model="gpt-4o", messages=messages, tools=tools)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-4o-mini", "o200k_base"),
        ("gpt-4.1", "o200k_base"),
        ("gpt-5-nano", "o200k_base"),
        ("o3-mini", "o200k_base"),
        ("chatgpt-4o-latest", "o200k_base"),
        ("ft:gpt-4o-mini:house::1", "o200k_base"),
        ("openai/gpt-oss-120b", "gpt-oss"),
        ("gpt-4", "cl100k_base"),
        ("gpt-4-turbo", "cl100k_base"),
        ("gpt-3.5-turbo", "cl100k_base"),
        ("claude-haiku-4-5-20251001", "o200k_base"),
        ("ollama/llama3.2", "llama3"),
        ("meta-llama/Llama-3.3-70B-Instruct", "llama3"),
        ("llama2:13b", "llama2"),
        ("codellama:7b", "codellama"),
        ("qwen2.5:7b", "qwen3"),
        ("deepseek-chat", "deepseek_v3"),
        ("deepseek-r1-distill-llama-70b", "llama3"),
        ("mistral", "mistral_v2"),
        ("mistral-large-latest", "mistral_v3"),
        ("mistralai/Mistral-7B-Instruct-v0.2", "mistral_v1"),
        ("gemma2:9b", "gemma2"),
        ("gemma3:4b", "gemma3"),
        ("glm-4.5", "glm4"),
        ("kimi-k2", "kimi_k2"),
        ("phi4", "phi4"),
        ("simulated", "o200k_base"),
        ("", "o200k_base"),
    ],
)
def test_vocabulary(model: str, name: str) -> None:
    """A model's name leads to the vocabulary that it was trained with, an unknown name to o200k."""
    assert tokens.vocabulary(model) == name


@pytest.mark.parametrize("name", sorted({name for _, name in tokens._VOCABULARIES}))
def test_every_vocabulary_is_there(name: str) -> None:
    """Each vocabulary named in the table is in the package and can count."""
    tokenizer = tokens._load(name)
    assert tokenizer is not None
    assert 1 < len(tokenizer.encode_ordinary("counting words")) < 6


@pytest.mark.parametrize(
    ("text", "model", "expected"),
    [
        ("", "gpt-4o", 0),
        ("hello world", "gpt-4o", 2),
        ("hello world", "gpt-4", 2),
        ("tiktoken is great!", "gpt-4", 6),
        ("antidisestablishmentarianism", "gpt-4", 6),
        ("antidisestablishmentarianism", "gpt-4o", 6),
        ("お誕生日おめでとう", "gpt-4", 9),
        ("お誕生日おめでとう", "gpt-4o", 8),
    ],
)
def test_exact_counts(text: str, model: str, expected: int) -> None:
    """The counts are those that OpenAI publishes for its own tokenizer."""
    assert tokens.count(text, model) == (expected, "counted")


def test_control_tokens_are_text() -> None:
    """A control token that is spelled out in a prompt counts as the text that it is, not as one token."""
    assert tokens.count("<|endoftext|>", "gpt-4o")[0] > 3


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4", "llama3", "qwen3", "deepseek-chat", "mistral-large"])
def test_long_texts_in_pieces(model: str) -> None:
    """Cutting a long text into pieces changes nothing about its count."""
    tokenizer = tokens._load(tokens.vocabulary(model))
    assert tokenizer is not None
    assert tokens.count(PROSE, model)[0] == len(tokenizer.encode_ordinary(PROSE))


def test_pieces_bound_each_hold_of_the_lock() -> None:
    """No piece is longer than twice the limit, even where there is no space at all; together they are the text."""
    for text in ("x" * 100_000, PROSE, "x " + "y" * 50_000 + " z" * 9_000):
        pieces = list(tokens._pieces(text))
        assert "".join(pieces) == text
        assert max(map(len, pieces)) <= 2 * tokens._PIECE_CHARS


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(), max_size=300))
def test_any_text(text: str) -> None:
    """Any text at all, lone surrogates too, is counted, with at most one token for each byte."""
    counted, source = tokens.count(text, "gpt-4o")
    assert source == "counted"
    assert (counted > 0) == bool(text)
    assert counted <= len(text.encode("utf-8", "replace"))


def test_from_many_threads() -> None:
    """Threads that ask at once, for a vocabulary not yet loaded, all get the same answer."""
    shelf = tokens._Shelf()
    found: list[object] = []
    gate = threading.Barrier(8)

    def ask() -> None:
        gate.wait()
        found.append(shelf.get("cl100k_base"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(one) for one in found}) == 1
    assert found[0] is not None


def test_ready_once_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model is ready once its vocabulary was used, and with it every model that shares the vocabulary."""
    monkeypatch.setattr(tokens, "_shelf", tokens._Shelf())
    assert not tokens.ready("gpt-4")
    tokens.count("hello world", "gpt-4")
    assert tokens.ready("gpt-3.5-turbo")
    assert not tokens.ready("gpt-4o")


def test_without_the_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without splintr a count is an estimate by bytes and says so."""
    monkeypatch.setitem(sys.modules, "splintr", None)
    monkeypatch.setattr(tokens, "_shelf", tokens._Shelf())
    assert tokens.count("twelve bytes", "gpt-4o") == (3, "estimated")
    assert tokens.count("é", "gpt-4o") == (1, "estimated")


def test_loaded_only_when_asked() -> None:
    """Importing the module loads neither the tokenizer nor a vocabulary."""
    script = "import sys, tailrace.tokens; sys.exit('splintr' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=20).returncode == 0


def test_request_counts_all_its_text() -> None:
    """Text, reasoning, tool calls, results and schemas all count, and each message's frame."""
    tool = Tool(name="look", description="Look it up", parameters={"type": "object"})
    call = Message(role="assistant", parts=(Reasoning(text="hm"), ToolCall(id="1", name="look", arguments='{"a":1}')))
    result = Message(role="tool", parts=(ToolResult(id="1", content=(Text(text="hello world"),)),))
    plain, source = tokens.count_request(requested(user_message("hello world")), "gpt-4o")
    assert (plain, source) == (6, "counted")
    with_call, _ = tokens.count_request(requested(user_message("hello world"), call), "gpt-4o")
    with_result, _ = tokens.count_request(requested(user_message("hello world"), call, result), "gpt-4o")
    with_tool, _ = tokens.count_request(requested(user_message("hello world"), call, result, tools=(tool,)), "gpt-4o")
    assert plain < with_call < with_result < with_tool


def test_what_is_native_is_counted() -> None:
    """The text of a block without a word of ours counts, and so does a tool; what is encoded does not."""
    text = {"type": "document", "source": {"type": "text", "data": "hello world"}}
    encoded = {"type": "document", "source": {"type": "base64", "data": "aGVsbG8gd29ybGQ=" * 100}}

    def counted(block: dict[str, Any], *tools: Tool) -> int:
        document = Message(role="user", parts=(Native(format="anthropic", needs=block),))
        return tokens.count_request(requested(document, tools=tools), "gpt-4o")[0]

    assert counted(text) == counted({**text, "source": {"type": "text", "data": ""}}) + 3
    assert counted(encoded) < 20
    search = Tool(name="web_search", native=Native(format="anthropic", needs={"type": "web_search_20250305"}))
    assert counted(text, search) > counted(text, Tool(name="web_search")) > counted(text)


def test_images_are_estimated() -> None:
    """A request with an image costs more and is labelled `estimated`; the image's bytes are not read as text."""
    image = Image(data="QUJD" * 10_000, media_type="image/png")
    small = Image(url="https://example.org/a.png", detail="low")
    for one, cost in ((image, 765), (small, 85)):
        request = requested(Message(role="user", parts=(Text(text="hello world"), one)))
        assert tokens.count_request(request, "gpt-4o") == (6 + cost, "estimated")


def test_nothing_is_quadratic() -> None:
    """Eight times the text takes no more than thirty times as long, on texts that tempt a tokenizer."""
    for unit in ("a", " ", "=-", "漢"):
        tokens.count(unit * 1_000, "gpt-4o")
        assert _seconds(unit * 160_000) < 30 * max(_seconds(unit * 20_000), 0.005)


def _seconds(text: str) -> float:
    started = time.thread_time()
    tokens.count(text, "gpt-4o")
    return time.thread_time() - started
