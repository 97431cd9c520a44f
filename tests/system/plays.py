"""What an upstream does in one answer, the same scenes for every kind of provider, and what its row must say of it."""

from __future__ import annotations

import json
import secrets
from abc import ABC, abstractmethod
from typing import Any, Final, Literal

import msgspec
from tests.system.stage import Stage
from tests.system.voices import REPORTED, VOICES, Voice
from tests.upstream import Script, Step

from tailrace import tokens
from tailrace.providers.simulated.specimen import answer_tokens
from tailrace.requests import ChatRequest, user_message

Scene = Literal["whole", "length", "unreported", "refused", "complaint", "reset", "silence", "mute", "pause", "flood"]

PIECES: Final = ("Hello ", "wonderful", " world")
FLOOD: Final = tuple(f" {word}" for word in ("one", "two", "three", "four", "five", "six", "seven", "eight"))


class Play(msgspec.Struct, frozen=True, kw_only=True):
    """One answer: how to ask for it, the `text` that the upstream truly sends, the tokens that it reports.

    `reported` is input and output as they stand at the end of what it sends. `ends` is its row's status and reason
    where the upstream itself makes an end.
    """

    scene: Scene
    provider: str
    model: str
    prompt: str
    text: str = ""
    reported: tuple[int | None, int | None] = (None, None)
    ends: tuple[str, str] = ("", "")
    max_tokens: int | None = None

    @property
    def body(self) -> dict[str, Any]:
        """The request for it."""
        cap = {} if self.max_tokens is None else {"max_tokens": self.max_tokens}
        return {"message": self.prompt, "model": f"{self.provider}/{self.model}", **cap}

    @property
    def usage(self) -> dict[str, Any]:
        """The input tokens, output tokens and label of its row, if it ended as it does or was stopped where it waits.

        A refused request costs nothing.
        """
        asked, answered = self.reported
        if self.scene == "refused":
            return {"input_tokens": 0, "output_tokens": 0, "source": "counted"}
        if asked is not None and answered is not None and self.ends[0] == "finished":
            return {"input_tokens": asked, "output_tokens": answered, "source": "reported"}
        counted = tokens.count(self.text, self.model)[0]
        request = ChatRequest(model=self.model, messages=(user_message(self.prompt),))
        return {
            "input_tokens": tokens.count_request(request, self.model)[0] if asked is None else asked,
            "output_tokens": max(counted, answered or 0),
            "source": self._source(counted),
        }

    def _source(self, counted: int) -> str:
        """The label of an answer that was broken off; what a silent upstream would have charged nobody knows."""
        asked, answered = self.reported
        if asked is not None and answered is not None:
            return "reported" if answered > counted else "counted"
        return "counted" if self.text else "estimated"


class Player(ABC):
    """A provider of whom any of its `scenes` may be asked."""

    provider: str
    scenes: frozenset[Scene]

    def __repr__(self) -> str:
        return self.provider

    @abstractmethod
    def play(self, scene: Scene, stage: Stage) -> Play:
        """Make everything ready for one answer."""


class ScriptedPlayer(Player):
    """A provider before a scripted upstream, in the upstream's own format."""

    scenes: frozenset[Scene] = frozenset(
        ("whole", "length", "unreported", "refused", "complaint", "reset", "silence", "mute", "pause", "flood")
    )

    def __init__(self, voice: Voice) -> None:
        self.provider = voice.provider
        self._voice = voice

    def play(self, scene: Scene, stage: Stage) -> Play:
        prompt = new_prompt(scene)
        stage.set(prompt, self._script(scene))
        pieces = {"refused": (), "mute": (), "flood": FLOOD}.get(scene, PIECES)
        return Play(
            scene=scene,
            provider=self.provider,
            model="m",
            prompt=prompt,
            text="".join(pieces),
            reported=self._reported(scene),
            ends=_ENDS.get(scene, ("", "")),
        )

    def _reported(self, scene: Scene) -> tuple[int | None, int | None]:
        if scene in ("whole", "length"):
            return REPORTED
        if self._voice.reports_input_early and scene not in ("refused", "unreported"):
            return REPORTED[0], 1
        return None, None

    def _script(self, scene: Scene) -> Script:
        voice = self._voice
        reported = scene != "unreported"
        begun = [voice.head, voice.opening(reported=reported)]
        said = begun + [voice.say(piece) for piece in PIECES]
        match scene:
            case "whole" | "unreported":
                return [*said, voice.end("stop", reported=reported)]
            case "length":
                return [*said, voice.end("length")]
            case "refused":
                return [voice.refuse()]
            case "complaint":
                return [*said, voice.complain(), Step.STALL]
            case "reset":
                return [*said, voice.say("torn")[:20], Step.RESET]
            case "silence":
                return [*said, voice.last_chunk]
            case "mute":
                return [*begun, Step.STALL]
            case "pause":
                return [*said, Step.STALL]
            case "flood":
                # In one piece, so that one read brings it all.
                return [b"".join([*begun, *map(voice.say, FLOOD)]), Step.STALL]


class SimulatedPlayer(Player):
    """The simulated model, whose name is its script."""

    provider = "simulated"
    scenes: frozenset[Scene] = frozenset(("whole", "length", "refused", "reset", "mute", "pause", "flood"))
    _SCRIPTS: Final[dict[Scene, tuple[str, int]]] = {
        "whole": ("n3-d0", 3),
        "length": ("n9-d1", 3),
        "refused": ("e500", 0),
        "reset": ("n9-d1-x3", 3),
        "mute": ("f60000", 0),
        "pause": ("n9-d1-s3", 3),
        "flood": ("n8-d0-s8", 8),
    }

    def play(self, scene: Scene, stage: Stage) -> Play:
        model, sent = self._SCRIPTS[scene]
        prompt = new_prompt(scene)
        whole = scene in ("whole", "length")
        return Play(
            scene=scene,
            provider=self.provider,
            model=model,
            prompt=prompt,
            text="".join(answer_tokens(prompt)[:sent]),
            reported=(-(-len(prompt) // 4), sent) if whole else (None, None),
            ends=_ENDS.get(scene, ("", "")),
            max_tokens=sent if scene == "length" else None,
        )


class LangChainPlayer(Player):
    """A chat model of LangChain's, whose prompt is its script. It has no connection that could be cut."""

    provider = "langchain"
    scenes: frozenset[Scene] = frozenset(("whole", "length", "unreported", "complaint", "mute", "pause", "flood"))
    _ENDS: Final[dict[Scene, str]] = {"whole": "stop", "length": "length", "unreported": "stop", "complaint": "fail"}

    def play(self, scene: Scene, stage: Stage) -> Play:
        # It is asked for one piece after another, so a budget of three and a half stops it at the fourth.
        pieces = {"mute": (), "flood": FLOOD[:4]}.get(scene, PIECES)
        whole = scene in ("whole", "length")
        told = {"pieces": pieces, "end": self._ENDS.get(scene, "stall"), "reported": whole}
        return Play(
            scene=scene,
            provider=self.provider,
            model="performer",
            prompt=f"{new_prompt(scene)}\n{json.dumps(told)}",
            text="".join(pieces),
            reported=REPORTED if whole else (None, None),
            ends=_ENDS.get(scene, ("", "")),
        )


PLAYERS: Final[tuple[Player, ...]] = (*map(ScriptedPlayer, VOICES), SimulatedPlayer(), LangChainPlayer())

_ENDS: Final[dict[Scene, tuple[str, str]]] = {
    "whole": ("finished", "stop"),
    "length": ("finished", "length"),
    "unreported": ("finished", "stop"),
    "refused": ("failed", "upstream_error"),
    "complaint": ("failed", "upstream_error"),
    "reset": ("failed", "upstream_cut"),
    "silence": ("failed", "upstream_cut"),
}


def new_prompt(scene: Scene) -> str:
    """A prompt that was never used."""
    return f"Play {scene} {secrets.token_hex(6)}"
