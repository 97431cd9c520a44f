"""Ollama's `options`: the sampling that every model knows by some name, and what only Ollama has.

The format: https://github.com/ollama/ollama/blob/main/docs/modelfile.mdx#valid-parameters-and-values.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from tailrace.dialects.body import StopField

_UNLIMITED: Final = (-1, -2)

# How a model is loaded and run on Ollama's own machine, which an upstream without one has no use for: what is asked of
# the answer stays the same. Some are of older versions, and still sent.
_RUNNING: Final = frozenset(
    {
        *("num_ctx", "num_batch", "num_gpu", "main_gpu", "num_thread", "num_keep", "draft_num_predict"),
        *("use_mmap", "use_mlock", "numa", "low_vram", "f16_kv", "logits_all", "vocab_only", "embedding_only"),
    }
)


def _whole(value: object) -> object:
    """Ollama takes 8192.0 for a whole number too, and many a client sends it."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


_Whole: TypeAlias = Annotated[int, BeforeValidator(_whole), Field(ge=-(2**63), lt=2**63)]


class OptionsBody(BaseModel):
    """What is asked of the sampling. An option that is not named here is one that only an Ollama knows."""

    model_config = ConfigDict(extra="allow", frozen=True)

    temperature: float | None = Field(default=None, ge=0)
    top_p: float | None = Field(default=None, ge=0, le=1)
    top_k: _Whole | None = Field(default=None, description="For an upstream that knows it.")
    seed: _Whole | None = Field(default=None, description="Negative: another one each time.")
    num_predict: _Whole | None = Field(default=None, description="How many tokens at most; -1 or -2: no limit.")
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop: StopField | None = None

    @field_validator("num_predict")
    @classmethod
    def _limit_or_none(cls, limit: int | None) -> int | None:
        if limit is not None and limit < 1 and limit not in _UNLIMITED:
            raise ValueError("must be at least 1, or -1 or -2 for no limit")
        return limit

    def common(self) -> dict[str, Any]:
        """The fields of a request that say the same."""
        return {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": self.top_k,
            "seed": None if self.seed is None or self.seed < 0 else self.seed,
            "max_tokens": None if self.num_predict in _UNLIMITED else self.num_predict,
            "presence_penalty": self.presence_penalty,
            "frequency_penalty": self.frequency_penalty,
            "stop": tuple(self.stop or ()),
        }

    def hints(self) -> dict[str, Any]:
        """What an upstream other than Ollama does without: how a model is run, and that nothing is limited."""
        negative = {"seed": self.seed, "num_predict": self.num_predict}
        unlimited = {name: value for name, value in negative.items() if value is not None and value < 0}
        return _placed({**unlimited, **self._others(known=True)})

    def needs(self) -> dict[str, Any]:
        """What an answer depends on and only an Ollama understands."""
        return _placed(self._others(known=False))

    def _others(self, *, known: bool) -> dict[str, Any]:
        others = self.model_extra or {}
        return {name: value for name, value in others.items() if value is not None and (name in _RUNNING) is known}


def _placed(options: dict[str, Any]) -> dict[str, Any]:
    """The options by their places in the body."""
    return {f"options.{name}": value for name, value in options.items()}
