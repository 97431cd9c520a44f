"""Where settings come from: flags, the environment, a `.env`, `tailrace.toml`. Nothing is interpreted here but places.

A key is the path of a setting, such as ("server", "port").
"""

from __future__ import annotations

import io
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, NoReturn, TypeAlias

import msgspec
from dotenv.parser import parse_stream
from dotenv.variables import parse_variables

from tailrace.errors import SettingsError
from tailrace.settings.addresses import ollama_host
from tailrace.settings.presets import PRESETS
from tailrace.settings.values import Reader

Key: TypeAlias = tuple[str, ...]

FLAGS: Final[Mapping[str, Key]] = {
    "host": ("server", "host"),
    "port": ("server", "port"),
    "workers": ("server", "workers"),
    "root_path": ("server", "root_path"),
    "log_level": ("server", "log_level"),
    "tls_cert": ("server", "tls_cert"),
    "tls_key": ("server", "tls_key"),
}
# Of two names for one setting the later wins.
VARIABLES: Final[Mapping[str, Key]] = {
    "PORT": ("server", "port"),
    "TAILRACE_HOST": ("server", "host"),
    "TAILRACE_PORT": ("server", "port"),
    "TAILRACE_WORKERS": ("server", "workers"),
    "TAILRACE_ROOT_PATH": ("server", "root_path"),
    "TAILRACE_LOG_LEVEL": ("server", "log_level"),
    "TAILRACE_TLS_CERT": ("server", "tls_cert"),
    "TAILRACE_TLS_KEY": ("server", "tls_key"),
    "TAILRACE_DATA_DIR": ("data_dir",),
    "TAILRACE_DATABASE_URL": ("database_url",),
    "TAILRACE_REDIS_URL": ("redis_url",),
    "TAILRACE_ADMIN_KEY": ("admin_key",),
    "TAILRACE_DEFAULT_MODEL": ("default_model",),
    "TAILRACE_MAX_TOKENS": ("max_tokens",),
    "TAILRACE_ON_DISCONNECT": ("on_disconnect",),
    "TAILRACE_STRIPE_METER": ("stripe_meter",),
    "STRIPE_API_KEY": ("stripe_api_key",),
    "STRIPE_API_BASE": ("stripe_api_base",),
    "OPENAI_API_KEY": ("providers", "openai", "api_key"),
    "OPENAI_BASE_URL": ("providers", "openai", "base_url"),
    "ANTHROPIC_API_KEY": ("providers", "anthropic", "api_key"),
    "ANTHROPIC_BASE_URL": ("providers", "anthropic", "base_url"),
    "OLLAMA_HOST": ("providers", "ollama", "base_url"),
    **{preset.variable: ("providers", name, "api_key") for name, preset in PRESETS.items() if preset.variable},
}
_READERS: Final[Mapping[str, Reader]] = {"OLLAMA_HOST": ollama_host}
CONFIG_VARIABLE: Final = "TAILRACE_CONFIG"
CLIENT_VARIABLES: Final = ("TAILRACE_URL", "TAILRACE_KEY")
"""What commands that ask a server read; no setting of one."""

_OTHERS: Final = (CONFIG_VARIABLE, *CLIENT_VARIABLES)
FILE_NAME: Final = "tailrace.toml"

# Kubernetes sets these in every pod beside a service called "tailrace"; nobody wrote them.
_SERVICE_LINK: Final = re.compile(r"TAILRACE_(SERVICE_(HOST|PORT)(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)")
_SERVICE_PORT: Final = re.compile(r"(tcp|udp|sctp)://\S+")
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """A value as it was written, and where; `reader` where it is written otherwise than in the file."""

    value: object
    where: str
    reader: Reader | None = None


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """All that was given: `overrides` are flags and variables, which win over the file's `document`."""

    environ: Mapping[str, str]
    folder: Path
    file: Path | None
    label: str
    document: dict[str, Any]
    overrides: dict[Key, Given]

    def names(self, key: Key) -> list[str]:
        """The names given in the table at `key`, in the order of the file, then the others."""
        given = self._lookup(key)
        if given is not None and not isinstance(given, dict):
            raise SettingsError("must be a table", where=self.place(key))
        overriding = [name[len(key)] for name in self.overrides if len(name) > len(key) and name[: len(key)] == key]
        return list(dict.fromkeys([*(given or {}), *overriding]))

    def given(self, key: Key) -> Given | None:
        """What was given for the setting at `key`, by whoever wins."""
        if key in self.overrides:
            return self.overrides[key]
        value = self._lookup(key)
        return None if value is None else Given(value=value, where=self.place(key))

    def place(self, key: Key) -> str:
        """The place of `key` in the file, such as `tailrace.toml: [stream] idle_s`."""
        *table, name = (word if _BARE_KEY.fullmatch(word) else json.dumps(word) for word in key)
        return f"{self.label}: [{'.'.join(table)}] {name}" if table else f"{self.label}: {name}"

    def _lookup(self, key: Key) -> Any:
        node: Any = self.document
        for name in key:
            if not isinstance(node, dict) or name not in node:
                return None
            node = node[name]
        return node


def gather(flags: Mapping[str, object], environ: Mapping[str, str], folder: Path) -> Sources:
    """Read every source. Raises SettingsError for an unknown flag or variable and for a file that can't be read.

    A variable that is set to nothing counts as not set.
    """
    environ = {name: value for name, value in environ.items() if value}
    beside = _read_dotenv(folder / ".env", environ)
    places = {name: f".env: {name}" for name in beside} | {name: name for name in environ}
    merged = beside | environ
    overrides = _read_variables(merged, places) | _read_flags(flags)
    file, label, document = _read_file(_find_file(flags, merged, places), folder)
    return Sources(environ=merged, folder=folder, file=file, label=label, document=document, overrides=overrides)


def refuse_unknown(name: str, known: Iterable[str], *, where: str, kind: str = "setting") -> NoReturn:
    """Raise SettingsError that names the nearest known name, or all of them where none is near."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(names)}"
    raise SettingsError(f"unknown {kind}; {hint}", where=where)


def _read_flags(flags: Mapping[str, object]) -> dict[Key, Given]:
    for name in flags:
        if name not in FLAGS and name != "config":
            refuse_unknown(name, [*FLAGS, "config"], where=_flag(name), kind="flag")
    return {
        FLAGS[name]: Given(value=value, where=_flag(name))
        for name, value in flags.items()
        if name in FLAGS and value is not None
    }


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _read_variables(environ: Mapping[str, str], places: Mapping[str, str]) -> dict[Key, Given]:
    for name in environ:
        if name.startswith("TAILRACE_") and name not in VARIABLES and name not in _OTHERS:
            _refuse_variable(name, places[name])
    return {
        key: Given(value=environ[name], where=places[name], reader=_READERS.get(name))
        for name, key in VARIABLES.items()
        if name in environ and not (name == "TAILRACE_PORT" and _SERVICE_PORT.fullmatch(environ[name]))
    }


def _refuse_variable(name: str, where: str) -> None:
    if not _SERVICE_LINK.fullmatch(name):
        known = [known for known in (*VARIABLES, *_OTHERS) if known.startswith("TAILRACE_")]
        refuse_unknown(name, known, where=where, kind="variable")


def _read_dotenv(path: Path, environ: Mapping[str, str]) -> dict[str, str]:
    if not path.is_file():
        return {}
    values: dict[str, str] = {}
    for binding in parse_stream(io.StringIO(_read_text(path, ".env"))):
        if binding.error:
            raise SettingsError("must be NAME=value", where=f".env: line {binding.original.line}")
        if binding.key is not None and binding.value:
            seen = {**values, **environ}
            values[binding.key] = "".join(atom.resolve(seen) for atom in parse_variables(binding.value))
    return values


def _find_file(flags: Mapping[str, object], environ: Mapping[str, str], places: Mapping[str, str]) -> Given | None:
    if flags.get("config") is not None:
        return Given(value=flags["config"], where="--config")
    if CONFIG_VARIABLE in environ:
        return Given(value=environ[CONFIG_VARIABLE], where=places[CONFIG_VARIABLE])
    return None


def _read_file(asked: Given | None, folder: Path) -> tuple[Path | None, str, dict[str, Any]]:
    if asked is None:
        path = folder / FILE_NAME
        return (path, FILE_NAME, _parse(path, FILE_NAME)) if path.is_file() else (None, FILE_NAME, {})
    path = folder / Path(str(asked.value)).expanduser()
    if not path.is_file():
        raise SettingsError(f"must be the path of a file that exists, not {str(asked.value)!r}", where=asked.where)
    return path, str(asked.value), _parse(path, str(asked.value))


def _parse(path: Path, label: str) -> dict[str, Any]:
    text = _read_text(path, label)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        end = f"at line {text.count(chr(10)) + 1}, column {len(text) - text.rfind(chr(10))}"
        message = str(error).replace("at end of document", end)
        raise SettingsError(f"is not TOML: {message}", where=label) from None


def _read_text(path: Path, label: str) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SettingsError(f"is not UTF-8 at byte {error.start}", where=label) from None
    except OSError as error:
        raise SettingsError(f"can't be read: {error.strerror}", where=label) from None
