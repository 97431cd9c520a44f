"""Where settings come from, and which source wins."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.settings.loading import loaded, refusal

from tailrace.settings import (
    CorsSettings,
    LimitSettings,
    Models,
    ModelSettings,
    Price,
    ProviderSettings,
    Secret,
    SecretUrl,
    ServerSettings,
    Settings,
    StreamSettings,
    check,
    load,
    read,
)

KEY = "tr_admin_" + "k" * 43


def test_settings_made_of_nothing_are_valid() -> None:
    """`Settings()` passes every check and has the defaults that are documented."""
    settings = Settings()
    check(settings)
    assert settings.stream == StreamSettings(
        connect_s=10, first_token_s=300, idle_s=60, total_s=1800, send_s=60, heartbeat_s=15, drain_s=25,
        max_answer=4 * 2**20, keep_s=3600, coalesce_ms=0, status_wait_s=15, retries=1,
    )  # fmt: skip
    assert (settings.server.host, settings.server.port, settings.server.workers) == ("127.0.0.1", 8000, 1)
    assert settings.server.max_body == 32 * 2**20


def test_nothing_given_is_the_default(folder: Path) -> None:
    """An empty folder and environment load the defaults."""
    assert load({}, {}, folder) == Settings()


def test_the_built_in_providers_are_always_there() -> None:
    """Whatever providers are given, the built-in ones are known beside them."""
    own = ProviderSettings(kind="openai", base_url="http://127.0.0.1:1/v1")
    assert [*Settings(providers={"mine": own}).providers] == [
        "openai", "anthropic", "ollama", "langchain", "simulated", "mine",
    ]  # fmt: skip


def test_openai_may_be_asked_through_its_other_api(folder: Path) -> None:
    """The built-in provider keeps its key, its address and its default model; one's own needs a key or an address."""
    settings = loaded(folder, "[providers.openai]\nkind = 'openai_responses'", {"OPENAI_API_KEY": "k"})
    provider = settings.providers["openai"]
    assert (provider.kind, provider.on, provider.url) == ("openai_responses", True, "https://api.openai.com/v1")
    assert Models(settings).default == "openai/gpt-4o-mini"
    own = loaded(folder, "[providers.own]\nkind = 'openai_responses'").providers["own"]
    assert (own.on, own.url) == (False, "https://api.openai.com/v1")


def test_a_flag_wins_over_the_environment_and_so_on(folder: Path) -> None:
    """Flag, environment, `.env`, `PORT`, file, default: each wins over those after it."""
    sources: dict[str, object] = {
        "toml": "[server]\nport = 5",
        "dotenv": "TAILRACE_PORT=3",
        "environ": {"TAILRACE_PORT": "2", "PORT": "4"},
    }
    assert loaded(folder, **sources, port="1").server.port == 1  # type: ignore[arg-type]
    assert loaded(folder, **sources).server.port == 2  # type: ignore[arg-type]
    assert loaded(folder, "[server]\nport = 5", {"PORT": "4"}, "TAILRACE_PORT=3").server.port == 3
    assert loaded(folder, "[server]\nport = 5", {"PORT": "4"}).server.port == 4
    assert loaded(folder, "[server]\nport = 5").server.port == 5
    assert loaded(folder).server.port == 8000


def test_a_flag_that_was_not_given_is_none(folder: Path) -> None:
    """None leaves the word to the other sources."""
    assert loaded(folder, environ={"TAILRACE_HOST": "::1"}, host=None).server.host == "::1"


def test_a_variable_set_to_nothing_is_not_set(folder: Path) -> None:
    """An empty variable hides neither the `.env` nor the file, and switches no provider on."""
    environ = {"TAILRACE_PORT": "", "OPENAI_API_KEY": ""}
    settings = loaded(folder, "[server]\nport = 5", environ, "OPENAI_API_KEY=k")
    assert settings.server.port == 5
    assert settings.providers["openai"].on


@pytest.mark.parametrize("by", ["flag", "variable", "dotenv"])
def test_the_file_may_lie_elsewhere(folder: Path, by: str) -> None:
    """`--config`, `TAILRACE_CONFIG` or the `.env` name the file, and errors name it as it was named."""
    (folder / "other.toml").write_text("[server]\nport = 7\nprot = 8")
    given: dict[str, dict[str, object]] = {
        "flag": {"config": "other.toml"},
        "variable": {"environ": {"TAILRACE_CONFIG": "other.toml"}},
        "dotenv": {"dotenv": "TAILRACE_CONFIG=other.toml"},
    }
    assert refusal(folder, "wrong", **given[by]).startswith("other.toml: [server] prot: ")  # type: ignore[arg-type]


def test_a_dotenv_refers_to_what_is_set(folder: Path) -> None:
    """`${NAME}` in a `.env` is the environment's value, else an earlier one of the file; quotes and export are read."""
    dotenv = "A=x\nexport OPENAI_API_KEY=\"${A}-${B}\"\n# a comment\nTAILRACE_MAX_TOKENS='12'"
    settings = loaded(folder, environ={"B": "y"}, dotenv=dotenv)
    key = settings.providers["openai"].api_key
    assert key is not None
    assert key.reveal() == "x-y"
    assert settings.max_tokens == 12


def test_what_kubernetes_sets_beside_a_service_is_ignored(folder: Path) -> None:
    """The variables that a service called tailrace puts into every pod are nobody's settings."""
    environ = {
        "TAILRACE_PORT": "tcp://10.0.0.1:80",
        "TAILRACE_SERVICE_HOST": "10.0.0.1",
        "TAILRACE_SERVICE_PORT": "80",
        "TAILRACE_SERVICE_PORT_HTTP": "80",
        "TAILRACE_PORT_80_TCP": "tcp://10.0.0.1:80",
        "TAILRACE_PORT_80_TCP_ADDR": "10.0.0.1",
    }
    assert loaded(folder, environ=environ) == Settings()


def test_every_setting_can_stand_in_the_file(folder: Path) -> None:
    """A file with all tables and keys means what it says."""
    (folder / "key").write_text("k\n")
    (folder / "ca.pem").write_text("pem")
    settings = loaded(
        folder,
        f"""
        default_model = "fast"
        max_tokens = 100
        on_disconnect = "continue"
        data_dir = "data"
        database_url = "postgresql://u:p@h/db?sslmode=require"
        redis_url = "rediss://h:6379/0"
        admin_key = "{KEY}"
        stripe_api_key = "env:STRIPE"
        stripe_api_base = "http://127.0.0.1:1"
        stripe_meter = "tokens"
        [server]
        host = "localhost"
        port = 0
        workers = 2
        hosts = ["Box.local"]
        trusted_proxies = ["10.0.0.1", "10.1.0.0/16"]
        max_body = "1MiB"
        root_path = "/ai/"
        log_level = "DEBUG"
        tls_cert = "ca.pem"
        tls_key = "ca.pem"
        [providers.own]
        kind = "openai"
        base_url = "https://h/v1/"
        api_key = "file:key"
        default_model = "m"
        headers = {{X-Team = "blue"}}
        proxy = "http://u:p@proxy:3128"
        ca_file = "ca.pem"
        [providers.langchain]
        target = "pkg.mod:runnable"
        [models.fast]
        provider = "own"
        model = "m-1"
        fallback = ["simulated", "own/m-2"]
        price = {{input = 1, cached_input = 0.5, output = 2.5}}
        [stream]
        connect_s = 1
        total_s = "1h"
        max_answer = "1 KB"
        keep = "30d"
        coalesce_ms = 5
        [limits]
        rpm = 1
        tpm = 2
        max_streams = 3
        [cors]
        origins = ["https://app.example", "http://localhost:3000"]
        """,
        {"STRIPE": "sk"},
    )
    assert settings == Settings(
        server=ServerSettings(
            host="localhost", port=0, workers=2, hosts=("box.local",), trusted_proxies=("10.0.0.1/32", "10.1.0.0/16"),
            max_body=2**20, root_path="/ai", log_level="debug", tls_cert=folder / "ca.pem", tls_key=folder / "ca.pem",
        ),
        providers={
            "own": ProviderSettings(
                kind="openai", base_url="https://h/v1", api_key=Secret("k"), default_model="m",
                headers={"X-Team": Secret("blue")}, proxy=SecretUrl("http://u:p@proxy:3128"), ca_file=folder / "ca.pem",
            ),
            "langchain": ProviderSettings(kind="langchain", default_model="langchain", target="pkg.mod:runnable"),
        },
        models={
            "fast": ModelSettings(
                provider="own", model="m-1", fallback=("simulated", "own/m-2"),
                price=Price(input=1, cached_input=0.5, output=2.5),
            )
        },
        stream=StreamSettings(connect_s=1, total_s=3600, max_answer=1000, keep_s=30 * 86400, coalesce_ms=5),
        limits=LimitSettings(rpm=1, tpm=2, max_streams=3),
        cors=CorsSettings(origins=("https://app.example", "http://localhost:3000")),
        default_model="fast", max_tokens=100, on_disconnect="continue", data_dir=folder / "data",
        database_url=SecretUrl("postgresql://u:p@h/db?sslmode=require"), redis_url=SecretUrl("rediss://h:6379/0"),
        admin_key=Secret(KEY), stripe_api_key=Secret("sk"), stripe_api_base="http://127.0.0.1:1",
        stripe_meter="tokens",
    )  # fmt: skip


def test_the_description_names_every_source(folder: Path) -> None:
    """Each setting tells where it came from."""
    (folder / "tailrace.toml").write_text("[stream]\nidle_s = 5")
    (folder / ".env").write_text("TAILRACE_MAX_TOKENS=7")
    reading = read({"port": "1"}, {"OPENAI_API_KEY": "k"}, folder)
    described = {setting.key: (setting.value, setting.where) for setting in reading.describe()}
    assert described["server.port"] == ("1", "--port")
    assert described["stream.idle_s"] == ("5", "tailrace.toml: [stream] idle_s")
    assert described["max_tokens"] == ("7", ".env: TAILRACE_MAX_TOKENS")
    assert described["providers.openai.api_key"] == ("***", "OPENAI_API_KEY")
    assert described["server.host"] == ("127.0.0.1", "default")
    assert reading.where("server", "port") == "--port"


def test_variables_switch_providers_on(folder: Path) -> None:
    """A key or a host of one's own switches a provider on; the vendor's own address alone does not."""
    assert [*on(folder, {})] == ["simulated"]
    assert on(folder, {"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}) == {"openai", "anthropic", "simulated"}
    assert on(folder, {"OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}) == {"openai", "simulated"}
    assert on(folder, {"OPENAI_BASE_URL": "https://api.openai.com/v1/"}) == {"simulated"}
    assert on(folder, {"OLLAMA_HOST": "127.0.0.1"}) == {"ollama", "simulated"}


def on(folder: Path, environ: dict[str, str]) -> set[str]:
    """The names of the providers that are on."""
    return {name for name, provider in loaded(folder, environ=environ).providers.items() if provider.on}


def test_a_table_and_variables_make_one_provider(folder: Path) -> None:
    """`[providers.openai]` and the variables are merged, and the variables win."""
    toml = "[providers.openai]\napi_key = 'file-key'\nbase_url = 'http://h/v1'\ndefault_model = 'm'"
    openai = loaded(folder, toml, {"OPENAI_API_KEY": "k"}).providers["openai"]
    assert openai == ProviderSettings(kind="openai", api_key=Secret("k"), base_url="http://h/v1", default_model="m")
