"""How each wrong setting is refused: its place, and what would be right."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.settings.loading import refusal

from tailrace.errors import SettingsError
from tailrace.settings import (
    ServerSettings,
    Settings,
    check,
    load,
)


@pytest.mark.parametrize(
    ("toml", "expected"),
    [
        ("[stream]\nidle_ss = 1", "tailrace.toml: [stream] idle_ss: unknown setting; did you mean idle_s?"),
        ("[sever]\nport = 1", "tailrace.toml: sever: unknown setting; did you mean server?"),
        ("defualt_model = 'x'", "tailrace.toml: defualt_model: unknown setting; did you mean default_model?"),
        ("[limits]\nzzz = 1", "tailrace.toml: [limits] zzz: unknown setting; known are max_streams, rpm, tpm"),
        (
            "[providers.own]\nkind = 'openai'\nbase_ulr = 'x'",
            "tailrace.toml: [providers.own] base_ulr: unknown setting; did you mean base_url?",
        ),
        (
            "[models.'a.b']\nprovider = 'simulated'\nfalback = []",
            'tailrace.toml: [models."a.b"] falback: unknown setting; did you mean fallback?',
        ),
        (
            "[models.m]\nprovider = 'simulated'\nprice = {input = 1, ouput = 1}",
            "tailrace.toml: [models.m.price] ouput: unknown setting; did you mean output?",
        ),
        ("[models.m]\nprovider = 'simulated'\nprice = {input = 1}", "[models.m.price] output: must be given"),
        ("[models.m]", "tailrace.toml: [models.m] provider: must be given"),
        ("[providers.own]", "tailrace.toml: [providers.own] kind: must be given"),
        ("server = 1", "tailrace.toml: server: must be a table"),
        ("[providers]\nopenai = 'key'", "tailrace.toml: [providers] openai: must be a table"),
        ("[server]\nport = ", "tailrace.toml: is not TOML: Invalid value (at line 2, column 8)"),
        ("[server]\nport = 'abc'", "[server] port: must be a whole number from 0 to 65535, not 'abc'"),
        ("[server]\nport = 65536", "[server] port: must be a whole number from 0 to 65535, not 65536"),
        ("[server]\nport = 1.5", "[server] port: must be a whole number from 0 to 65535, not 1.5"),
        ("[server]\nport = true", "[server] port: must be a whole number from 0 to 65535, not True"),
        ("[server]\nworkers = 0", "[server] workers: must be a whole number from 1"),
        ("[server]\nhost = 'http://x'", "[server] host: must be a host's name or address"),
        ("[server]\nhost = '127.0.0.1:80'", "[server] host: must be a host's name or address"),
        ("[server]\nhosts = 'x'", "[server] hosts: must be a list, not 'x'"),
        ("[server]\ntrusted_proxies = ['*']", "[server] trusted_proxies: must be an IP address or a network"),
        ("[server]\nmax_body = '32 elephants'", '[server] max_body: must be a size such as 65536, "512KiB"'),
        ("[server]\nmax_body = 0", "[server] max_body: must be a size"),
        ("[server]\nmax_body = -1", "[server] max_body: must be a size"),
        ("[server]\nroot_path = 'ai'", "[server] root_path: must be a path such as /ai, not 'ai'"),
        ("[server]\nlog_level = 'loud'", "[server] log_level: must be one of debug, info, warning, error, critical"),
        ("[server]\ntls_cert = 'none.pem'", "[server] tls_cert: must be the path of a file that exists"),
        ("[stream]\nidle_s = 0", "[stream] idle_s: must be a time of at least 0.001 s"),
        ("[stream]\nidle_s = inf", "[stream] idle_s: must be a time"),
        ("[stream]\nidle_s = nan", "[stream] idle_s: must be a time"),
        ("[stream]\nidle_s = '1 week'", "[stream] idle_s: must be a time"),
        ("[stream]\nidle_s = true", "[stream] idle_s: must be a time"),
        ("[stream]\nidle_s = []", "[stream] idle_s: must be a time"),
        (f"[stream]\nidle_s = {10**400}", "[stream] idle_s: must be a time"),
        (f"[stream]\nmax_answer = '{10**400}'", "[stream] max_answer: must be a size"),
        ("[stream]\nkeep_s = 1", "tailrace.toml: [stream] keep_s: unknown setting; did you mean"),
        ("[limits]\nrpm = -1", "[limits] rpm: must be a whole number from 1"),
        ("[cors]\norigins = ['https://a.example/']", "[cors] origins: must be an origin such as https://app.example"),
        ("[cors]\norigins = ['*']", "[cors] origins: must be an origin"),
        ("max_tokens = 0", "tailrace.toml: max_tokens: must be a whole number from 1"),
        ("on_disconnect = 'stop'", 'tailrace.toml: on_disconnect: must be "cancel", "continue", or seconds'),
        ("on_disconnect = -1", "tailrace.toml: on_disconnect: must be"),
        ("data_dir = ''", "tailrace.toml: data_dir: must be a text in one line that is not empty"),
        ("database_url = 'mysql://h/db'", "database_url: must be a URL that begins with sqlite:// or postgresql://"),
        ("redis_url = 'localhost:6379'", "redis_url: must be a URL that begins with redis:// or rediss://"),
        ("admin_key = 'tr_admin_short'", "admin_key: must be tr_admin_ and at least 43 characters"),
        ("[providers.own]\nkind = 'opena'",
         "[providers.own] kind: must be one of openai, openai_responses, anthropic"),
        ("[providers.openai]\nkind = 'ollama'",
         "[providers.openai] kind: openai is built in, with kind openai or openai_responses"),
        ("[providers.'a/b']\nkind = 'openai'", '[providers] "a/b": a provider\'s name must not be empty'),
        ("[providers.lc]\nkind = 'langchain'", "[providers.lc] target: needs the runnable's place"),
        ("[providers.langchain]\ndefault_model = 'x'", "[providers.langchain] target: needs the runnable's place"),
        ("[providers.lc]\nkind = 'langchain'\ntarget = 'mod'", "[providers.lc] target: must be a module and a name"),
        ("[providers.openai]\nheaders = {'a b' = 'x'}", "[providers.openai] headers: must be a table of header names"),
        ("[providers.openai]\nheaders = {a = 1}", "[providers.openai] headers: must be a text, env:NAME or file:PATH"),
        ("[providers.openai]\nheaders = {a = \"x\\r\\nb: c\"}", "[providers.openai] headers: must be a secret in"),
        ("[models.m]\nprovider = 'opnai'", "[models.m] provider: unknown provider 'opnai'; did you mean openai?"),
        (
            "[models.m]\nprovider = 'simulated'\nfallback = ['nonsense']",
            "tailrace.toml: [models.m] fallback: there is no model 'nonsense'",
        ),
        ("default_model = 'nonsense'", "tailrace.toml: default_model: there is no model 'nonsense'"),
        ("default_model = 'openai/gpt-4o'", "default_model: the provider openai is off: set OPENAI_API_KEY"),
        ("[server]\nworkers = 2", "tailrace.toml: [server] workers: several workers share their streams through Redis"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_with_its_place(folder: Path, toml: str, expected: str) -> None:
    """Each wrong key or value says where it stands and what would be right."""
    assert expected in refusal(folder, toml)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"TAILRACE_PROT": "1"}, "TAILRACE_PROT: unknown variable; did you mean TAILRACE_PORT?"),
        ({"TAILRACE_PORT": "x"}, "TAILRACE_PORT: must be a whole number from 0 to 65535, not 'x'"),
        ({"PORT": "x"}, "PORT: must be a whole number from 0 to 65535, not 'x'"),
        ({"TAILRACE_WORKERS": "4"}, "TAILRACE_WORKERS: several workers share their streams through Redis"),
        ({"TAILRACE_CONFIG": "none.toml"}, "TAILRACE_CONFIG: must be the path of a file that exists, not 'none.toml'"),
        ({"TAILRACE_ADMIN_KEY": "tr_admin_x"}, "TAILRACE_ADMIN_KEY: must be tr_admin_ and at least 43 characters"),
        ({"TAILRACE_DEFAULT_MODEL": "nonsense"}, "TAILRACE_DEFAULT_MODEL: there is no model 'nonsense'"),
        ({"TAILRACE_TLS_CERT": "tailrace.toml"}, "TAILRACE_TLS_CERT: a certificate needs its key: give --tls-key"),
        ({"TAILRACE_TLS_KEY": "tailrace.toml"}, "TAILRACE_TLS_KEY: a key needs its certificate: give --tls-cert"),
        (
            {"OPENAI_BASE_URL": "api.example/v1"},
            "OPENAI_BASE_URL: must be a URL such as https://host/v1, with its scheme",
        ),
        ({"OPENAI_BASE_URL": "https://"}, "OPENAI_BASE_URL: must be a URL"),
        ({"OPENAI_BASE_URL": "https://h:99999/v1"}, "OPENAI_BASE_URL: must be a URL"),
        ({"OPENAI_BASE_URL": "https://h/v1?a=b"}, "OPENAI_BASE_URL: must hold no query"),
        ({"ANTHROPIC_BASE_URL": "https://u:p@h"}, "ANTHROPIC_BASE_URL: must hold no user or password"),
        ({"OPENAI_API_KEY": "env:NOT_SET"}, "OPENAI_API_KEY: the variable 'NOT_SET' that it names is not set"),
        ({"OPENAI_API_KEY": "file:none"}, "OPENAI_API_KEY: the file "),
        ({"OLLAMA_HOST": "ftp://h"}, "OLLAMA_HOST: must be a host such as 127.0.0.1:11434"),
        ({"OLLAMA_HOST": "h:port"}, "OLLAMA_HOST: must be a host"),
    ],
)
def test_a_wrong_variable_is_refused_by_name(folder: Path, environ: dict[str, str], expected: str) -> None:
    """Each wrong variable is named, with what would be right."""
    assert refusal(folder, "", environ).startswith(expected)


def test_a_wrong_flag_is_refused_by_name(folder: Path) -> None:
    """A flag's value is read as the file's is, and an unknown flag is refused."""
    assert refusal(folder, port="x").startswith("--port: must be a whole number")
    assert refusal(folder, tls_cert="none").startswith("--tls-cert: must be the path of a file that exists")
    assert refusal(folder, config="none.toml").startswith("--config: must be the path of a file that exists")
    assert refusal(folder, prot=1) == "--prot: unknown flag; did you mean port?"


def test_a_wrong_dotenv_is_refused_with_its_line(folder: Path) -> None:
    """A `.env` names its line, or the variable that stands in it."""
    assert refusal(folder, dotenv="A=1\nnot a setting\n") == ".env: line 2: must be NAME=value"
    assert refusal(folder, dotenv="TAILRACE_PROT=1").startswith(".env: TAILRACE_PROT: unknown variable")
    assert refusal(folder, dotenv="TAILRACE_PORT=x").startswith(".env: TAILRACE_PORT: must be a whole number")


def test_files_that_are_not_text_are_refused(folder: Path) -> None:
    """A file that is not UTF-8 is refused, not read wrongly."""
    (folder / "tailrace.toml").write_bytes(b"a = '\xff'")
    with pytest.raises(SettingsError, match=r"tailrace\.toml: is not UTF-8 at byte 5"):
        load({}, {}, folder)


def test_settings_made_in_python_can_be_checked() -> None:
    """`check` refuses contradictions in settings that were not loaded, and names the place in Python's words."""
    with pytest.raises(SettingsError, match=r"settings\.server\.workers: several workers"):
        check(Settings(server=ServerSettings(workers=2)))


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=12), max_size=3), st.text(max_size=60))
def test_arbitrary_sources_raise_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, environ: dict[str, str], toml: str
) -> None:
    """Whatever the environment and the file hold, it loads or is refused with SettingsError."""
    folder = tmp_path_factory.mktemp("any")
    (folder / "tailrace.toml").write_bytes(toml.encode("utf-8", "surrogatepass"))
    with suppress(SettingsError):
        load({}, {f"TAILRACE_{name}": value for name, value in environ.items()}, folder)
