"""What `/api/chat` and `/api/generate` take: right bodies become requests, wrong ones are told where they are wrong."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any, Final

import ollama
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.dialects import OLLAMA, OLLAMA_GENERATE, Call
from tailrace.dialects.ollama import read_show
from tailrace.dialects.ollama.body import ChatBody, GenerateBody
from tailrace.errors import RequestError
from tailrace.requests import (
    ChatRequest,
    Image,
    Message,
    Native,
    Reasoning,
    ResponseFormat,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    user_message,
)

ASK: Final = {"role": "user", "content": "Hi"}
PNG: Final = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(20)).decode()


def call(name: str, *, call_id: str | None = None, **arguments: Any) -> dict[str, Any]:
    """A tool call as a client hands it back."""
    return {**({"id": call_id} if call_id else {}), "function": {"name": name, "arguments": arguments}}


def parsed(*messages: Any, **fields: Any) -> Call:
    return OLLAMA.parse(json.dumps({"model": "m", "messages": messages or [ASK], **fields}).encode())


def asked(**fields: Any) -> ChatRequest:
    """The request that a body with a message and these fields makes."""
    return parsed(**fields).request


def generated(**fields: Any) -> Call:
    return OLLAMA_GENERATE.parse(json.dumps({"model": "m", **fields}).encode())


def refused(body: Any, dialect: Any = OLLAMA) -> RequestError:
    with pytest.raises(RequestError) as caught:
        dialect.parse(body if isinstance(body, bytes) else json.dumps(body).encode())
    assert caught.value.status == 400
    return caught.value


# Right bodies


def test_a_plain_chat() -> None:
    """The least that a client sends; it streams unless it says otherwise."""
    assert parsed() == Call(request=ChatRequest(model="m", messages=(user_message("Hi"),), reads="ollama"))
    assert parsed(stream=False, on_disconnect=5).stream is False
    assert parsed(on_disconnect=5).on_disconnect == 5
    assert OLLAMA.parse(b'{"messages":[{"role":"USER","content":"Hi"}]}').request.model == ""


def test_options_become_the_common_words() -> None:
    """Sampling is said in tailrace's words; whole numbers may come as floats; null is not said."""
    request = asked(
        options={
            "temperature": 0,
            "top_p": 0.5,
            "top_k": 40.0,
            "seed": 7,
            "num_predict": 9,
            "stop": "END",
            "presence_penalty": 1,
            "frequency_penalty": -1.5,
            "mirostat": None,
        }
    )
    assert (request.temperature, request.top_p, request.top_k, request.seed) == (0.0, 0.5, 40, 7)
    assert (request.max_tokens, request.stop) == (9, ("END",))
    assert (request.presence_penalty, request.frequency_penalty) == (1.0, -1.5)
    assert request.native is None
    assert asked(options={"stop": ["a", "b"]}).stop == ("a", "b")


def test_what_only_an_ollama_understands() -> None:
    """Options that the answer depends on are needs; how the model is run, and how long, are hints."""
    request = asked(
        options={"mirostat": 2, "num_ctx": 8192.0, "num_predict": -1, "seed": -1, "min_p": 0.1},
        keep_alive="5m",
        truncate=False,
        think=True,
        nonsense=1,
    )
    assert request.native == Native(
        format="ollama",
        needs={"nonsense": 1, "options.mirostat": 2, "options.min_p": 0.1},
        hints={
            "keep_alive": "5m",
            "think": True,
            "truncate": False,
            "options.num_ctx": 8192.0,
            "options.num_predict": -1,
            "options.seed": -1,
        },
    )
    assert (request.max_tokens, request.seed, request.extra) == (None, None, {})
    assert asked(logprobs=True, top_logprobs=3).extra == {"logprobs": True, "top_logprobs": 3}


@pytest.mark.parametrize(
    ("think", "effort"), [(True, "medium"), (False, "none"), ("low", "low"), ("max", "max"), (None, None)]
)
def test_think(think: bool | str | None, effort: str | None) -> None:
    """The wish to think is an effort for those that know efforts."""
    assert asked(think=think).reasoning_effort == effort


def test_format() -> None:
    """Any JSON, JSON by a schema, or text."""
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    assert asked(format="json").response_format == ResponseFormat()
    assert asked(format=schema).response_format == ResponseFormat(schema=schema)
    assert asked(format="").response_format is asked(format=None).response_format is None


def test_messages() -> None:
    """Every role, with images, thinking and tools."""
    tool = {"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": {"type": "object"}}}
    request = parsed(
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "See?", "images": [PNG]},
        {"role": "assistant", "content": "", "thinking": "Hm.", "tool_calls": [call("look", call_id="c1", at="ä")]},
        {"role": "tool", "tool_call_id": "c1", "content": "Seen."},
        {"role": "assistant", "content": "Yes."},
        tools=[tool],
    ).request
    assert request.tools == (Tool(name="look", description="Looks.", parameters={"type": "object"}),)
    assert request.messages == (
        Message(role="system", parts=(Text(text="Be brief."),)),
        Message(role="user", parts=(Text(text="See?"), Image(data=PNG, media_type="image/png"))),
        Message(
            role="assistant", parts=(Reasoning(text="Hm."), ToolCall(id="c1", name="look", arguments='{"at":"ä"}'))
        ),
        Message(role="tool", parts=(ToolResult(id="c1", content=(Text(text="Seen."),)),)),
        Message(role="assistant", parts=(Text(text="Yes."),)),
    )


@pytest.mark.parametrize(
    ("calls", "results", "answered"),
    [
        ([call("f"), call("g")], [{"tool_name": "g"}, {"tool_name": "f"}], ["call00002", "call00001"]),
        ([call("f"), call("f")], [{"name": "f"}, {"name": "f"}], ["call00001", "call00002"]),
        ([call("f"), call("g")], [{}, {}], ["call00001", "call00002"]),
        ([call("f"), call("g", call_id="x")], [{"tool_call_id": "x"}, {}], ["x", "call00001"]),
        ([call("f")], [{"tool_call_id": "lost"}], ["call00001"]),
    ],
)
def test_results_find_their_calls(
    calls: list[dict[str, Any]], results: list[dict[str, Any]], answered: list[str]
) -> None:
    """By id, else by the tool's name, else in order: clients drop ids, and some names too."""
    turns = [{"role": "tool", "content": "x", **result} for result in results]
    messages = parsed(ASK, {"role": "assistant", "tool_calls": calls}, *turns).request.messages
    found = [part.id for message in messages for part in message.parts if isinstance(part, ToolResult)]
    assert found == answered
    assert all(len(made) == 9 and made.isalnum() for made in answered if made.startswith("call"))


@pytest.mark.parametrize(
    ("head", "media_type"),
    [
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", None),
        (b"BM", None),
    ],
)
def test_image_types(head: bytes, media_type: str | None) -> None:
    """The bytes tell what an image is; of another kind than these nothing is claimed."""
    data = base64.b64encode(head + bytes(9)).decode()
    message = parsed({"role": "user", "images": [data]}).request.messages[0]
    assert message.parts == (Image(data=data, media_type=media_type),)


def test_generate_is_a_chat_of_one_turn() -> None:
    """Prompt, system and images; what Ollama's client sends of fields that say nothing is passed over."""
    assert generated(
        prompt="Hi", system="Be brief.", images=[PNG], suffix="", template="", raw=False, context=[], options={}
    ) == Call(
        request=ChatRequest(
            model="m",
            messages=(
                Message(role="system", parts=(Text(text="Be brief."),)),
                Message(role="user", parts=(Text(text="Hi"), Image(data=PNG, media_type="image/png"))),
            ),
        )
    )


def test_a_load_has_no_messages() -> None:
    """Without messages, or with an empty prompt, nothing is asked of the model."""
    assert OLLAMA.parse(b'{"model":"m"}').request.messages == ()
    assert OLLAMA.parse(b'{"model":"m","messages":[],"keep_alive":0}').request.native == Native(
        format="ollama", hints={"keep_alive": 0}
    )
    assert generated(prompt="", system="x").request.messages == ()


def test_show() -> None:
    """A model is named by its field or by the older one."""
    assert read_show(b'{"model":"m","verbose":true}') == read_show(b'{"name":"m"}') == "m"
    with pytest.raises(RequestError, match="model: a model must be named"):
        read_show(b"{}")


def test_every_field_of_the_client_is_known() -> None:
    """What Ollama's own client can send is each a field here."""
    for body, request in ((ChatBody, ollama._types.ChatRequest), (GenerateBody, ollama._types.GenerateRequest)):
        assert request.model_fields.keys() <= body.model_fields.keys()


# Wrong bodies


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"{", "the body is not JSON"),
        (b"[]", "must be a JSON object"),
        ({"messages": 5}, "messages: "),
        ({"messages": [{"content": "Hi"}]}, "messages[0].role: Field required"),
        ({"messages": [{"role": "robot", "content": "Hi"}]}, "messages[0].role: "),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content: "),
        ({"messages": [{"role": "user", "images": ["https://a.example/b.png"]}]}, "a URL is never fetched"),
        ({"messages": [{"role": "user", "images": [""]}]}, "messages[0].images[0]: "),
        ({"messages": [{"role": "assistant", "images": [PNG]}]}, "messages[0].images: a message of the role assistant"),
        ({"messages": [{"role": "user", "tool_calls": [call("f")]}]}, "messages[0].tool_calls: "),
        ({"messages": [{"role": "assistant", "tool_calls": [{"function": {}}]}]}, "tool_calls[0].function.name: "),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}]},
            "messages[0].tool_calls[0].function.arguments: ",
        ),
        ({"messages": [ASK, {"role": "tool", "content": "x"}]}, "messages[1]: no assistant message before it"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [call("f")]}, {"role": "tool", "tool_name": "g"}]},
            "messages[1]: no assistant message before it",
        ),
        (
            {
                "messages": [
                    {"role": "assistant", "tool_calls": [call("f", call_id="a")]},
                    {"role": "tool", "tool_call_id": "b"},
                ]
            },
            "messages[1]: no assistant message before it",
        ),
        ({"messages": [ASK], "tools": [{"type": "web"}]}, "tools[0].type: "),
        ({"messages": [ASK], "format": "xml"}, 'format: must be "json" or an object'),
        ({"messages": [ASK], "format": 5}, 'format: must be "json" or an object'),
        ({"messages": [ASK], "think": "hard"}, "think: must be true, false"),
        ({"messages": [ASK], "keep_alive": []}, "keep_alive: must be seconds"),
        ({"messages": [ASK], "options": []}, "options: "),
        ({"messages": [ASK], "options": {"temperature": "hot"}}, "options.temperature: "),
        ({"messages": [ASK], "options": {"num_predict": 0}}, "options.num_predict: must be at least 1"),
        ({"messages": [ASK], "options": {"seed": 1.5}}, "options.seed: "),
        ({"messages": [ASK], "top_logprobs": 21}, "top_logprobs: "),
        ({"model": "", "messages": [ASK]}, "model: "),
        ({"messages": [ASK], "on_disconnect": "stay"}, "on_disconnect: "),
    ],
)
def test_wrong_chats(body: Any, told: str) -> None:
    """Each fault is a 400 that names its place as Ollama's clients wrote it."""
    assert told in refused(body).message


@pytest.mark.parametrize(
    ("field", "value"),
    [("suffix", "x"), ("template", "{{ .Prompt }}"), ("raw", True), ("context", [1]), ("width", 64), ("steps", 5)],
)
def test_what_generate_can_not_do(field: str, value: Any) -> None:
    """What would need the model itself is refused with what to do instead."""
    error = refused({"prompt": "Hi", field: value}, OLLAMA_GENERATE)
    assert (error.code, error.field) == ("unsupported", field)
    assert error.message.startswith(f"{field}: is not supported; ")


@given(body=st.binary(max_size=60) | st.recursive(st.none() | st.text(), st.lists, max_leaves=5).map(json.dumps))
def test_garbage(body: Any) -> None:
    """Whatever comes as a body, it is a call or a refusal."""
    for dialect in (OLLAMA, OLLAMA_GENERATE):
        with contextlib.suppress(RequestError):
            dialect.parse(body if isinstance(body, bytes) else body.encode())
