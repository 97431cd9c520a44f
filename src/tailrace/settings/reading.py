"""From what was given to settings: reads every value, fills in the defaults, and refuses what can't be meant."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, get_args, get_origin

import msgspec

from tailrace.errors import RequestError, SettingsError
from tailrace.settings.models import Models
from tailrace.settings.presets import PRESET_KINDS, PRESETS
from tailrace.settings.sources import Key, Sources, gather, refuse_unknown
from tailrace.settings.tables import BUILT_IN, Kind, ProviderSettings, Settings
from tailrace.settings.values import Reader, Surroundings

_OTHER_KINDS: Final[Mapping[str, tuple[Kind, ...]]] = {"openai": ("openai_responses",)}
"""What a built-in provider may speak instead: both are the vendor's, at the same address."""


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """One setting as a person may see it: secrets are masked, `where` is its place or "default"."""

    key: str
    value: str
    where: str


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """Settings that were read, and where each of them came from."""

    settings: Settings
    sources: Sources

    @property
    def file(self) -> Path | None:
        """The `tailrace.toml` that was read, if any."""
        return self.sources.file

    def where(self, *key: str) -> str:
        """The place of a setting, such as `where("server", "host")`, or "default"."""
        given = self.sources.given(key)
        return "default" if given is None else given.where

    def describe(self) -> list[Described]:
        """All settings in order, the unset ones of a provider or a model left out."""
        return list(_describe(self.settings, (), self))


class _Field(msgspec.Struct, frozen=True, kw_only=True):
    attribute: str
    required: bool
    reader: Reader | None = None
    table: type[msgspec.Struct] | None = None
    named: bool = False


def load(flags: Mapping[str, object], environ: Mapping[str, str], folder: Path) -> Settings:
    """The settings of `read`, without their places."""
    return read(flags, environ, folder).settings


def read(flags: Mapping[str, object], environ: Mapping[str, str], folder: Path) -> Reading:
    """Read the settings: a flag wins over the environment, that over `folder`'s `.env`, that over `tailrace.toml`.

    `flags` are named as in `tailrace serve`, with None for those that were not given. Raises SettingsError, with the
    place, for whatever is wrong.
    """
    sources = gather(flags, environ, folder)
    settings = _build(Settings, (), sources)
    check(settings, lambda *key: given.where if (given := sources.given(key)) else sources.place(key))
    return Reading(settings=settings, sources=sources)


def check(settings: Settings, where: Callable[..., str] = lambda *key: f"settings.{'.'.join(key)}") -> None:
    """Refuse settings that contradict each other, with SettingsError; `where` tells a key's place."""
    server = settings.server
    if server.workers > 1 and settings.redis_url is None:
        raise SettingsError(
            "several workers share their streams through Redis: set TAILRACE_REDIS_URL, or use 1 worker",
            where=where("server", "workers"),
        )
    if server.tls_cert is not None and server.tls_key is None:
        raise SettingsError("a certificate needs its key: give --tls-key", where=where("server", "tls_cert"))
    if server.tls_key is not None and server.tls_cert is None:
        raise SettingsError("a key needs its certificate: give --tls-cert", where=where("server", "tls_key"))
    for name, provider in settings.providers.items():
        _check_provider(name, provider, where)
    _check_models(settings, where)


def _check_provider(name: str, provider: ProviderSettings, where: Callable[..., str]) -> None:
    built_in = BUILT_IN.get(name)
    if "/" in name or not name:
        raise SettingsError("a provider's name must not be empty or hold a slash", where=where("providers", name))
    kinds = () if built_in is None else (built_in.kind, *_OTHER_KINDS.get(name, ()))
    if kinds and provider.kind not in kinds:
        raise SettingsError(
            f"{name} is built in, with kind {' or '.join(kinds)}: give yours another name",
            where=where("providers", name, "kind"),
        )
    # A variable's key would else go to a server that is not the vendor's.
    if provider.kind not in PRESET_KINDS and (provider.preset is not None or name in PRESETS):
        raise SettingsError(
            f"{provider.preset or name} is a known server's name, of the kind openai: give yours another name",
            where=where("providers", name, "kind"),
        )
    if provider.known is not None and provider.url is None:
        raise SettingsError(
            "everyone has an own address there: give the base_url, such as http://127.0.0.1:8001/v1",
            where=where("providers", name, "base_url"),
        )
    if provider.kind == "langchain" and provider.target is None and provider != built_in:
        raise SettingsError(
            'needs the runnable\'s place, such as "pkg.mod:runnable"', where=where("providers", name, "target")
        )


def _check_models(settings: Settings, where: Callable[..., str]) -> None:
    models = Models(settings)
    for name, entry in settings.models.items():
        if entry.provider not in settings.providers:
            place = where("models", name, "provider")
            refuse_unknown(entry.provider, settings.providers, where=place, kind=f"provider {entry.provider!r}")
    for name, entry in settings.models.items():
        for fallback in entry.fallback:
            _check_model(models, fallback, where("models", name, "fallback"), may_be_off=True)
    if settings.default_model is not None:
        _check_model(models, settings.default_model, where("default_model"))


def _check_model(models: Models, name: str, where: str, *, may_be_off: bool = False) -> None:
    try:
        models.resolve(name)
    except RequestError as error:
        if not (may_be_off and error.code == "provider_off"):
            raise SettingsError(error.message, where=where) from None


def _build(table: type[Any], key: Key, sources: Sources) -> Any:
    fields = _fields(table)
    given: dict[str, Any] = {}
    for name in sources.names(key):
        if name not in fields:
            refuse_unknown(name, fields, where=sources.place((*key, name)))
        given[fields[name].attribute] = _value(fields[name], (*key, name), sources)
    base = _known_provider(key[-1], given) if table is ProviderSettings else None
    if base is not None:
        return msgspec.structs.replace(base, **given)
    for name, field in fields.items():
        if field.required and field.attribute not in given:
            raise SettingsError("must be given", where=sources.place((*key, name)))
    return table(**given)


def _known_provider(name: str, given: Mapping[str, Any]) -> ProviderSettings | None:
    """What holds for a provider of this name where nothing else is `given`."""
    if name in BUILT_IN:
        return BUILT_IN[name]
    preset = given.get("preset", name)
    speaks_it = given.get("kind", "openai") in PRESET_KINDS
    return ProviderSettings(kind="openai", preset=preset) if preset in PRESETS and speaks_it else None


def _value(field: _Field, key: Key, sources: Sources) -> Any:
    if field.table is not None and field.named:
        return {name: _build(field.table, (*key, name), sources) for name in sources.names(key)}
    if field.table is not None:
        return _build(field.table, key, sources)
    return _read_value(field, key, sources)


def _read_value(field: _Field, key: Key, sources: Sources) -> Any:
    given = sources.given(key)
    reader = field.reader if given is None or given.reader is None else given.reader
    if given is None or reader is None:
        return None
    try:
        return reader(given.value, Surroundings(environ=sources.environ, folder=sources.folder))
    except ValueError as error:
        raise SettingsError(str(error), where=given.where) from None


def _fields(table: type[msgspec.Struct]) -> dict[str, _Field]:
    return {info.encode_name: _field(info) for info in msgspec.structs.fields(table)}


def _field(info: msgspec.structs.FieldInfo) -> _Field:
    metadata = getattr(info.type, "__metadata__", None)
    if metadata is not None:
        return _Field(attribute=info.name, required=info.required, reader=metadata[0])
    tables = get_args(info.type) or (info.type,)
    named = get_origin(info.type) is dict
    return _Field(attribute=info.name, required=info.required, table=tables[1 if named else 0], named=named)


def _describe(table: msgspec.Struct, key: Key, reading: Reading) -> Iterator[Described]:
    for name, field in _fields(type(table)).items():
        value = getattr(table, field.attribute)
        path = (*key, name)
        if field.named:
            for item, entry in value.items():
                yield from _describe(entry, (*path, item), reading)
        elif isinstance(value, msgspec.Struct):
            yield from _describe(value, path, reading)
        elif value or not (key and key[0] in ("providers", "models")):
            yield Described(key=".".join(path), value=_show(value), where=reading.where(*path))


def _show(value: object) -> str:
    match value:
        case None | () | "":
            return "not set"
        case dict():
            return ", ".join(f"{name}: {_show(item)}" for name, item in value.items())
        case tuple():
            return ", ".join(map(_show, value))
        case float():
            return f"{value:g}"
    return str(value)
