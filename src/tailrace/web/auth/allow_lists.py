"""Which models a caller may use: those in its key's allow-list, and in its token's."""

from __future__ import annotations

from typing import Final, TypeAlias

from tailrace.errors import RequestError
from tailrace.settings import Models, ResolvedModel
from tailrace.web.auth.callers import Caller

_Identity: TypeAlias = tuple[str, str, tuple[tuple[str, str], ...]]

_MOST_LISTS: Final = 1000


class AllowLists:
    """Compares what names stand for, not the names: `gpt-4o` and `openai/gpt-4o` are one model.

    An entry of `[models]` with fallbacks is another than its first model, since it may be answered by others.
    """

    def __init__(self, models: Models) -> None:
        self._models = models
        self._known: dict[tuple[str, ...], frozenset[_Identity]] = {}

    def check(self, caller: Caller, model: ResolvedModel) -> None:
        """Raise RequestError 403 for a model that the caller may not use."""
        if not self.allow(caller, model):
            raise RequestError(403, "model_not_allowed", f"this key may not use {model.name[:200]!r}", field="model")

    def allow(self, caller: Caller, model: ResolvedModel) -> bool:
        """Whether the caller may use the model."""
        lists = (caller.key.models, caller.models)
        return lists == (None, None) or all(names is None or _identify(model) in self._read(names) for names in lists)

    def _read(self, names: tuple[str, ...]) -> frozenset[_Identity]:
        if names not in self._known:
            if len(self._known) >= _MOST_LISTS:
                self._known.clear()
            self._known[names] = frozenset(found for name in names if (found := self._resolve(name)) is not None)
        return self._known[names]

    def _resolve(self, name: str) -> _Identity | None:
        """None for a model that is gone since the list was made, or whose provider is off."""
        try:
            return _identify(self._models.resolve(name))
        except RequestError:
            return None


def _identify(model: ResolvedModel) -> _Identity:
    return (model.provider, model.model, tuple((other.provider, other.model) for other in model.fallbacks))
