"""The rules of the house, held by reading the code as text: who may import whom, what a file may be called."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
SOURCE: Final = ROOT / "src"
PACKAGE: Final = "tailrace"

RANKS: Final = (
    {"events", "requests", "errors", "ids", "settings", "sse", "tokens", "version", "money", "moments"},
    {"providers", "streamlog", "ledger", "dialects"},
    {"limits", "health", "metrics", "prices", "billing", "keys"},
    {"generation"},
    {"web"},
    {"client"},
    {"tailrace"},
    {"cli", "__main__"},
)
"""The rooms of the house, from the ground up: each may import from its own row and from those before it."""

STRANGERS: Final = RANKS[1]
"""The rooms that stand in one row and never import each other."""

OUTSIDE: Final = {"client": {"events", "errors", "sse"}}
"""Rooms that are no part of the server, each with all that it may import."""

LONGEST_FILE: Final = 400
EMPTY_NAMES: Final = {"util", "utils", "helper", "helpers", "common", "manager", "managers", "misc"}

# In two halves, or this file would be the first to break its own rule.
REGISTRY_HOSTS: Final = tuple(
    ".".join(halves)
    for halves in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("yarnpkg", "com"),
        ("deb.debian", "org"),
        ("security.debian", "org"),
        ("archive.ubuntu", "com"),
        ("crates", "io"),
        ("proxy.golang", "org"),
        ("ghcr", "io"),
    )
)


@dataclass(frozen=True, kw_only=True)
class Module:
    """One Python file of the package; `imports` are the modules of the package that it names, at any depth."""

    name: str
    path: Path
    imports: frozenset[str]

    @property
    def room(self) -> str:
        """The file or folder right under the package that it belongs to; the package's own door is `tailrace`."""
        return room_of(self.name)


def room_of(module: str) -> str:
    """The room that a module's dotted name lies in."""
    return module.removeprefix(f"{PACKAGE}.").split(".")[0]


def module_name(path: Path) -> str:
    """The dotted name under which a file of the source is imported."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def source_files() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    return {module_name(path): path for path in sorted((SOURCE / PACKAGE).rglob("*.py"))}


def imported(node: ast.AST) -> Iterator[str]:
    """The package's modules that one statement imports; a name that is no module stands for what it comes from."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in source_files())
    elif isinstance(node, ast.ImportFrom) and node.module in source_files():
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            yield inner if inner in source_files() else node.module


@cache
def modules() -> tuple[Module, ...]:
    """The package, read."""
    return tuple(
        Module(
            name=name,
            path=path,
            imports=frozenset(found for node in ast.walk(parsed(path)) for found in imported(node)),
        )
        for name, path in source_files().items()
    )


@cache
def parsed(path: Path) -> ast.Module:
    """A file's syntax tree."""
    return ast.parse(path.read_text("utf-8"), str(path))


@cache
def committed() -> tuple[Path, ...]:
    """What is committed or would be: every file that git tracks or does not ignore."""
    # A checkout that belongs to somebody else, as in a container, is read all the same.
    git = ["git", "-c", "safe.directory=*"]
    command = [*git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return tuple(path for name in sorted(set(listed.split("\0"))) if name and (path := ROOT / name).is_file())


def committed_python() -> tuple[Path, ...]:
    """The Python files among them."""
    return tuple(path for path in committed() if path.suffix == ".py")


def shown(path: Path, line: int | None = None) -> str:
    """A place, as an editor understands it."""
    return f"{path.relative_to(ROOT)}:{line}" if line else str(path.relative_to(ROOT))


def rank(room: str) -> int:
    """How high a room lies. One that is not in the plan at all lies above every other."""
    return next((height for height, row in enumerate(RANKS) if room in row), len(RANKS))


def test_every_room_is_in_the_plan() -> None:
    """Each module belongs to a room that the plan names, so none escapes the rules below."""
    planned = set[str]().union(*RANKS, OUTSIDE)
    assert {module.room for module in modules()} <= planned


def test_imports_point_one_way() -> None:
    """No module imports from a room above its own."""
    wrong = [
        f"{shown(module.path)} imports {target}"
        for module in modules()
        for target in module.imports
        if rank(room_of(target)) > rank(module.room)
    ]
    assert wrong == []


def test_neighbours_in_the_second_row_are_strangers() -> None:
    """Providers, stream logs, the ledger and dialects never import each other."""
    wrong = [
        f"{shown(module.path)} imports {target}"
        for module in modules()
        if module.room in STRANGERS
        for target in module.imports
        if room_of(target) in STRANGERS - {module.room}
    ]
    assert wrong == []


def test_the_client_imports_only_what_it_may() -> None:
    """The Python client could be lifted out of the server with the three files that it names."""
    wrong = [
        f"{shown(module.path)} imports {target}"
        for module in modules()
        if module.room in OUTSIDE
        for target in module.imports
        if room_of(target) not in OUTSIDE[module.room] | {module.room}
    ]
    assert wrong == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    """There is an order in which the modules can be read, each after all that it imports."""
    graph = {module.name: module.imports - {module.name} for module in modules()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as found:
        pytest.fail(" -> ".join(reversed(found.args[1])))


def declared(path: Path) -> list[str] | None:
    """The names in a module's `__all__`, or None where it has none."""
    for node in parsed(path).body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return list(ast.literal_eval(node.value))
    return None


def offered(node: ast.stmt, package: str) -> Iterator[str]:
    """The public names that a statement at the top of a package's `__init__` defines or hands on from within."""
    match node:
        case ast.ImportFrom(module=str(source), names=names) if f"{source}.".startswith(f"{package}."):
            found = [alias.asname or alias.name for alias in names]
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            found = [name]
        case ast.Assign(targets=targets):
            found = [target.id for target in targets if isinstance(target, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)):
            found = [name]
        case _:
            found = []
    yield from (name for name in found if not name.startswith("_"))


def test_all_is_what_is_public() -> None:
    """A package's `__all__` holds each public name that its `__init__` offers, once, and no other."""
    wrong = {}
    for package, path in source_files().items():
        names = declared(path)
        if path.name != "__init__.py" or names is None:
            continue
        public = {name for node in parsed(path).body for name in offered(node, package)}
        if sorted(names) != sorted(public | {name for name in names if name.startswith("_")}):
            wrong[shown(path)] = sorted(public.symmetric_difference(names))
    assert wrong == {}


def test_files_are_short() -> None:
    """No Python file is longer than a reader's patience."""
    lengths = {shown(path): path.read_text("utf-8").count("\n") for path in committed_python()}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_FILE} == {}


def test_names_say_something() -> None:
    """No file or folder is named for being useful: what it holds has a name in the field."""
    wrong = [
        shown(path)
        for path in committed()
        if EMPTY_NAMES & {word for part in path.relative_to(ROOT).parts for word in part.split(".")[0].split("_")}
    ]
    assert wrong == []


def test_every_test_states_its_claim() -> None:
    """Each test has a docstring: the claim it proves."""
    wrong = [
        shown(path, node.lineno)
        for path in committed_python()
        if path.name.startswith("test_")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]
    assert wrong == []


def test_no_committed_text_names_a_registry() -> None:
    """Where packages come from is the business of the machine that installs them, so no file names such a host."""
    host = re.compile(b"|".join(re.escape(name.encode()) for name in REGISTRY_HOSTS))
    wrong = [f"{shown(path)}: {found[0].decode()}" for path in committed() if (found := host.search(path.read_bytes()))]
    assert wrong == []


def requirements(path: Path) -> list[str]:
    """The entries of a requirements file, each on one line, without comments."""
    text = re.sub(r"(?m)^\s*#.*\n", "", path.read_text("utf-8")).replace("\\\n", " ")
    return [line for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("lock", sorted(ROOT.glob("requirements/*.txt")), ids=lambda path: path.name)
def test_python_locks_are_hashed(lock: Path) -> None:
    """Every entry of a lock is one version with its hashes, and nothing else stands there."""
    entries = requirements(lock)
    assert entries
    assert [entry for entry in entries if not re.match(r"[\w.-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", entry)] == []


@pytest.mark.parametrize("lock", ["src/tailrace/web/ui", "tests/js", "clients/js"])
def test_node_locks_are_hashed(lock: str) -> None:
    """Every entry of an npm lock has its checksum and no address."""
    entries = json.loads((ROOT / lock / "package-lock.json").read_text("utf-8"))["packages"]
    fetched = {name: entry for name, entry in entries.items() if name}
    assert fetched
    assert [name for name, entry in fetched.items() if "integrity" not in entry or "resolved" in entry] == []


def test_the_build_is_locked_whole() -> None:
    """What `pyproject.toml` wants for building is what the build's lock was made from."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["build-system"]["requires"]
    assert sorted(requirements(ROOT / "requirements" / "build.in")) == sorted(wanted)
