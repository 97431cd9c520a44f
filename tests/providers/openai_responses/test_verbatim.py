"""The body of a request whose client speaks the Responses API itself."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from tailrace.dialects import OPENAI_RESPONSES
from tailrace.errors import RequestError
from tailrace.providers.openai_responses.verbatim import write_verbatim
from tailrace.requests import ChatRequest, Message, Reasoning, Text

LOCAL = "localhost"
STREAM = "0" * 24


def asked(**body: Any) -> ChatRequest:
    """What OpenAI's dialect makes of a body."""
    return OPENAI_RESPONSES.parse(json.dumps({"model": "m", "input": "Hi", **body}).encode()).request


def written(request: ChatRequest, host: str = LOCAL) -> Any:
    assert request.verbatim is not None
    return json.loads(write_verbatim(request, request.verbatim, host=host))


def items(*told: Any) -> Any:
    """What comes of these items."""
    return written(asked(input=list(told)))["input"]


def test_tailrace_s_own_fields_stay_here() -> None:
    """Where it is kept, and how it is answered, is not the upstream's matter; nothing is stored there."""
    own = {"store": True, "background": True, "stream": False, "conversation": "talk", "on_disconnect": 5}
    assert written(asked(**own)) == {
        "model": "m",
        "input": [{"role": "user", "content": "Hi"}],
        "include": ["reasoning.encrypted_content"],
        "stream": True,
        "store": False,
    }


def test_all_else_is_as_it_was_written() -> None:
    """Fields keep their order and their bytes: numbers, escapes and what nobody here knows."""
    body = b'{"model":"x","temperature":1.0e0,"input":[{"role":"user","content":"\\u00e9","mood":1.50}],"v":{"b":[ ]}}'
    request = OPENAI_RESPONSES.parse(body).request
    assert request.verbatim is not None
    sent = write_verbatim(request, request.verbatim, host="api.openai.com")
    assert b'"temperature":1.0e0' in sent
    assert b'"input":[{"role":"user","content":"\\u00e9","mood":1.50}]' in sent
    assert b'"v":{"b":[ ]}' in sent


def test_limits() -> None:
    """The answer's limit is the client's, else the server's."""
    limited = msgspec.structs.replace(asked(), max_tokens=9)
    assert written(limited)["max_output_tokens"] == 9
    assert written(msgspec.structs.replace(asked(max_output_tokens=None), max_tokens=9))["max_output_tokens"] == 9
    assert written(asked(max_output_tokens=5))["max_output_tokens"] == 5


def test_what_is_included() -> None:
    """What takes reasoning back is asked for where a model may reason, beside what the client asks for."""
    reasoning = "reasoning.encrypted_content"
    assert written(asked(include=[reasoning]))["include"] == [reasoning]
    assert written(asked(include=["a.b"]))["include"] == ["a.b", reasoning]
    assert "include" not in written(asked(model="gpt-4.1"), "api.openai.com")
    assert written(asked(model="gpt-5-mini"), "api.openai.com")["include"] == [reasoning]


def test_instructions_are_said_once() -> None:
    """They are a field of the body, and no turn; those of an earlier conversation are a turn."""
    assert written(asked(instructions="Be brief.")) == {**written(asked()), "instructions": "Be brief."}
    earlier = Message(role="system", parts=(Text(text="Be kind."),))
    request = asked(instructions="Be brief.")
    longer = written(msgspec.structs.replace(request, messages=(earlier, *request.messages)))
    assert longer["input"][0] == {"role": "system", "content": "Be kind."}


def test_turns_that_the_client_did_not_send() -> None:
    """They are written in the format's words, without reasoning that nothing came of."""
    request = asked()
    thought = Reasoning(text="Hm.", signature="openai:rs_1:gAAAA")
    older = (
        Message(role="user", parts=(Text(text="a"),)),
        Message(role="assistant", parts=(thought, Text(text="b"), thought)),
    )
    told = written(msgspec.structs.replace(request, messages=(*older, *request.messages)))["input"]
    assert [item.get("role", item.get("type")) for item in told] == ["user", "reasoning", "assistant", "user"]


def test_names_of_ours() -> None:
    """An item goes back by the name that its upstream gave it; one that we made up stays here."""
    said = {"type": "message", "role": "assistant", "content": "A"}
    assert items(
        {**said, "id": f"msg_{STREAM}_msg_1"}, {**said, "id": f"msg_{STREAM}0000"}, {**said, "id": "msg_1"}
    ) == [
        {**said, "id": "msg_1"},
        said,
        {**said, "id": "msg_1"},
    ]


def test_reasoning_that_goes_back() -> None:
    """What has a name of the upstream's is its matter; of the rest only what the API has signed."""
    thought: dict[str, Any] = {"type": "reasoning", "summary": []}
    assert items(
        {**thought, "id": f"rs_{STREAM}_rs_1", "encrypted_content": "any"},
        {**thought, "id": f"rs_{STREAM}0000", "encrypted_content": "openai:rs_2:gAAAA"},
        {**thought, "encrypted_content": "gAAAAB"},
        {**thought, "encrypted_content": "another vendor's"},
        {**thought, "id": f"rs_{STREAM}0001"},
    ) == [
        {**thought, "id": "rs_1", "encrypted_content": "any"},
        {**thought, "id": "rs_2", "encrypted_content": "gAAAA"},
        {**thought, "encrypted_content": "gAAAAB"},
    ]


@pytest.mark.parametrize("body", [{"input": [{"role": "user", "content": "a", "name": "N"}]}, {"stop": "x"}])
def test_the_upstream_judges(body: dict[str, Any]) -> None:
    """What this format does not know is the upstream's to refuse."""
    assert {**written(asked(**body)), **body} == written(asked(**body))


def test_half_a_surrogate_pair() -> None:
    """Text that is none is refused as that, wherever it stands."""
    request = asked()
    torn = Message(role="user", parts=(Text(text="\ud800"),))
    with pytest.raises(RequestError, match="surrogate"):
        written(msgspec.structs.replace(request, messages=(torn,)))
