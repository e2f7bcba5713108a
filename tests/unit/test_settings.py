"""Every wrong setting is refused with one line that names it; production refuses to start unsafe."""

import re
from pathlib import Path

import pytest

from backchannel.errors import ConfigurationError
from backchannel.settings import Settings

pytestmark = pytest.mark.row("F7", "F6")

KEY = "k" * 32
PRODUCTION = {
    "BACKCHANNEL_ENV": "production",
    "BACKCHANNEL_AUTH": "jwt",
    "BACKCHANNEL_JWT_SECRET": KEY,
    "BACKCHANNEL_SECRET_KEY": KEY,
}


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        monkeypatch.delenv(alias if isinstance(alias, str) else f"BACKCHANNEL_{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    return monkeypatch


def refusal(environment: pytest.MonkeyPatch, variables: dict[str, str]) -> str:
    """The one line that says what is wrong with these variables."""
    for name, value in variables.items():
        environment.setenv(name, value)
    with pytest.raises(ConfigurationError) as caught:
        Settings.load()
    message = caught.value.message
    assert "\n" not in message
    assert len(message) < 300
    return message


def test_nothing_set_is_development_offline_and_anonymous():
    settings = Settings.load()
    assert (settings.env, settings.production, settings.offline) == ("development", False, True)
    assert settings.auth == ("anonymous",)
    assert settings.database_url == "sqlite:///.backchannel/backchannel.db"


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("ENV", "staging", "development"),
        ("AUTH", "anonymous,oauth", "jwt"),
        ("AUTH", " , ", "anonymous, jwt"),
        ("AUTH", "jwt", "BACKCHANNEL_JWT_SECRET must be set"),
        ("JWT_SECRET", "x" * 31, "at least 32 bytes"),
        ("SECRET_KEY", "x" * 31, "at least 32 bytes"),
        ("SECRET_KEY", "ä" * 15, "at least 32 bytes"),
        ("JWT_LEEWAY_SECONDS", "-1", "greater than or equal to 0"),
        ("JWT_LEEWAY_SECONDS", "301", "less than or equal to 300"),
        ("CORS_ORIGINS", "app.example.com", "'app.example.com' is not an origin"),
        ("CORS_ORIGINS", "https://ok.example,https://x.example/", "'https://x.example/' is not an origin"),
        ("CORS_ORIGINS", "ftp://files.example", "is not an origin"),
        ("CORS_ORIGINS", "https://", "is not an origin"),
        ("CORS_ORIGINS", "https://*", "is not an origin"),
        ("CORS_ORIGINS", "https://app.*.example", "is not an origin"),
        ("CORS_ORIGINS", "https://*.com", "would allow strangers"),
        ("TRUSTED_PROXIES", "nginx", "nginx"),
        ("TRUSTED_PROXIES", "10.0.0.0/64", "10.0.0.0/64"),
        ("ROOT_PATH", "chat", "not a prefix such as /chat"),
        ("ROOT_PATH", "/a b", "not a prefix such as /chat"),
        ("ROOT_PATH", "//evil.example", "not a prefix such as /chat"),
        ("FRAME_ANCESTORS", "example.com", "is not an origin"),
        ("COOKIE_SAME_SITE", "none", "needs https"),
        ("PUBLIC_URL", "chat.example.com", "must start with http:// or https://"),
        *(
            ("PUBLIC_URL", f"https://{rest}", "is not an address such as https://example.com")
            for rest in (
                "",
                "/chat",
                "ann@chat.example.com",
                "chat.example.com?",
                "chat.example.com/?x=1",
                "chat.example.com/#chat",
                "chat.example.com/a b",
                "chat.example.com/\tchat",
                "chat.example.com//chat",
                "chat.example.com/chat; Domain=example.com",
                "chat.example.com:x",
                "chat.example.com/%2e%2e",
            )
        ),
        ("OIDC_ISSUER", "login.example.com", "must be an https:// URL"),
        ("OIDC_ISSUER", "http://login.example.com", "must be an https:// URL"),
        ("OIDC_ISSUER", "https://login.example.com/?x=1", "neither a query nor a fragment"),
        ("OIDC_SCOPES", "profile email", "must have openid"),
        ("OIDC_CHECK_SECONDS", "59", "greater than or equal to 60"),
        ("MODEL_API", "assistants", "responses"),
        ("AGENTS", "swarm", "triage"),
        ("MAX_TURNS", "0", "greater than or equal to 1"),
        ("MAX_TURNS", "201", "less than or equal to 200"),
        ("MAX_TURNS", "ten", "integer"),
        ("HISTORY_TOKENS", "499", "greater than or equal to 500"),
        ("HEARTBEAT_SECONDS", "0", "greater than 0"),
        ("HEARTBEAT_SECONDS", "121", "less than or equal to 120"),
        ("RUN_RETENTION_SECONDS", "86401", "less than or equal to 86400"),
        ("SHUTDOWN_SECONDS", "601", "less than or equal to 600"),
        ("MAX_BODY_BYTES", "1023", "greater than or equal to 1024"),
        ("MAX_MESSAGE_CHARS", "0", "greater than or equal to 1"),
        ("RATE_LIMIT", "60", "such as 60/minute"),
        ("RATE_LIMIT_ADDRESS", "5 per second", "such as 60/minute"),
        ("RATE_LIMIT_TENANT", "none", "off means no limit"),
        ("MAX_CONCURRENT_RUNS", "-1", "greater than or equal to 0"),
        ("LOG_FORMAT", "xml", "console"),
        ("LOG_LEVEL", "chatty", "debug"),
        ("DEBUG", "perhaps", "boolean"),
    ],
)
def test_a_wrong_value_is_named(environment: pytest.MonkeyPatch, name: str, value: str, reason: str):
    message = refusal(environment, {f"BACKCHANNEL_{name}": value})
    assert f"BACKCHANNEL_{name}" in message
    assert reason in message


def test_the_first_of_several_wrong_values_is_named_in_one_line(environment: pytest.MonkeyPatch):
    wrong = {"BACKCHANNEL_ENV": "x\ny", "BACKCHANNEL_MAX_TURNS": "-1", "BACKCHANNEL_DEBUG": "?"}
    assert refusal(environment, wrong).startswith("BACKCHANNEL_ENV: ")


@pytest.mark.parametrize("name", ["SECRET_KEY", "JWT_SECRET"])
def test_a_secret_is_never_repeated(environment: pytest.MonkeyPatch, name: str):
    assert "hunter2" not in refusal(environment, {f"BACKCHANNEL_{name}": "hunter2"})
    environment.setenv(f"BACKCHANNEL_{name}", "hunter2" * 5)
    assert "hunter2" not in repr(Settings.load())


@pytest.mark.parametrize(
    ("change", "setting"),
    [
        ({"BACKCHANNEL_AUTH": None}, "BACKCHANNEL_AUTH must be set in production"),
        ({"BACKCHANNEL_SECRET_KEY": None}, "BACKCHANNEL_SECRET_KEY must be set in production"),
        ({"BACKCHANNEL_JWT_SECRET": None}, "BACKCHANNEL_JWT_SECRET must be set"),
        ({"BACKCHANNEL_AUTH": "anonymous"}, "BACKCHANNEL_AUTH must not be only anonymous"),
        ({"BACKCHANNEL_SECRET_KEY": "changeme" * 5}, "BACKCHANNEL_SECRET_KEY is a placeholder"),
        (
            {"BACKCHANNEL_JWT_SECRET": "your-secret-key-of-at-least-32-bytes"},
            "BACKCHANNEL_JWT_SECRET is a placeholder",
        ),
        (
            {"BACKCHANNEL_PUBLIC_URL": "http://chat.example.com"},
            "BACKCHANNEL_PUBLIC_URL must start with https",
        ),
        (
            {"BACKCHANNEL_JWT_JWKS_URL": "https://id.example/keys"},
            "BACKCHANNEL_JWT_ISSUER or BACKCHANNEL_JWT_AUDIENCE",
        ),
        (
            {"BACKCHANNEL_JWT_JWKS_URL": "http://id.example/keys"},
            "BACKCHANNEL_JWT_JWKS_URL: must be an https",
        ),
        ({"BACKCHANNEL_DEBUG": "true"}, "BACKCHANNEL_DEBUG must be off in production"),
        ({"BACKCHANNEL_CORS_ORIGINS": "*"}, "BACKCHANNEL_CORS_ORIGINS must name origins"),
        ({"BACKCHANNEL_CORS_ORIGINS": "https://a.example,*"}, "BACKCHANNEL_CORS_ORIGINS must name origins"),
        ({"BACKCHANNEL_AUTH": "proxy"}, "BACKCHANNEL_TRUSTED_PROXIES must name the proxy"),
        *(
            (
                {"BACKCHANNEL_AUTH": "proxy", "BACKCHANNEL_TRUSTED_PROXIES": everybody},
                "BACKCHANNEL_TRUSTED_PROXIES must name the proxy in production, and not everybody",
            )
            for everybody in ("*", "10.0.0.1,*", "0.0.0.0/0", "10.0.0.1,::/0")
        ),
    ],
)
def test_production_refuses_to_start_unsafe(
    environment: pytest.MonkeyPatch, change: dict[str, str | None], setting: str
):
    variables = {name: value for name, value in {**PRODUCTION, **change}.items() if value is not None}
    assert setting in refusal(environment, variables)


def test_an_angle_bracket_in_a_secret_makes_it_no_placeholder(environment: pytest.MonkeyPatch):
    """Issuers of OpenID Connect make secrets with any character."""
    for secret in ("x<" + "k" * 32, "k" * 32 + ">", "<" + "k" * 32):
        for name, value in {**PRODUCTION, "BACKCHANNEL_JWT_SECRET": secret}.items():
            environment.setenv(name, value)
        assert Settings.load().production
    variables = {**PRODUCTION, "BACKCHANNEL_JWT_SECRET": f"<{'the secret of your issuer' * 2}>"}
    assert "BACKCHANNEL_JWT_SECRET is a placeholder" in refusal(environment, variables)


OIDC = {
    "BACKCHANNEL_AUTH": "oidc",
    "BACKCHANNEL_OIDC_ISSUER": "https://login.example.com/realms/main",
    "BACKCHANNEL_OIDC_CLIENT_ID": "backchannel",
    "BACKCHANNEL_PUBLIC_URL": "https://chat.example.com",
}


@pytest.mark.row("F2b")
@pytest.mark.parametrize(
    ("change", "setting"),
    [
        ({"BACKCHANNEL_OIDC_ISSUER": None}, "BACKCHANNEL_OIDC_ISSUER must be set"),
        ({"BACKCHANNEL_OIDC_CLIENT_ID": None}, "BACKCHANNEL_OIDC_CLIENT_ID must be set"),
        ({"BACKCHANNEL_OIDC_ISSUER": "http://127.0.0.1:9"}, "BACKCHANNEL_OIDC_ISSUER must start with https"),
        (
            {"BACKCHANNEL_OIDC_CLIENT_SECRET": "your-secret"},
            "BACKCHANNEL_OIDC_CLIENT_SECRET is a placeholder",
        ),
        ({"BACKCHANNEL_PUBLIC_URL": None}, "BACKCHANNEL_PUBLIC_URL must be set in production"),
        # One id could be of two people.
        ({"BACKCHANNEL_AUTH": "oidc,proxy", "BACKCHANNEL_TRUSTED_PROXIES": "10.0.0.1"}, "OIDC_USER_PREFIX"),
        ({"BACKCHANNEL_AUTH": "oidc,jwt"}, "BACKCHANNEL_OIDC_USER_PREFIX"),
        ({"BACKCHANNEL_AUTH": "oidc,jwt", "BACKCHANNEL_JWT_ISSUER": "https://other"}, "OIDC_USER_PREFIX"),
    ],
)
def test_production_refuses_unsafe_logins_with_a_provider(
    environment: pytest.MonkeyPatch, change: dict[str, str | None], setting: str
):
    variables = {name: value for name, value in {**PRODUCTION, **OIDC, **change}.items() if value is not None}
    assert setting in refusal(environment, variables)


@pytest.mark.row("F2b")
def test_production_starts_with_a_provider(environment: pytest.MonkeyPatch):
    same = {"BACKCHANNEL_AUTH": "oidc,jwt", "BACKCHANNEL_JWT_ISSUER": OIDC["BACKCHANNEL_OIDC_ISSUER"]}
    for name, value in {**PRODUCTION, **OIDC, **same}.items():
        environment.setenv(name, value)
    settings = Settings.load()
    assert settings.logins
    assert settings.oidc_scopes == ("openid", "profile", "email")
    environment.setenv("BACKCHANNEL_OIDC_SCOPES", "openid offline_access")
    assert Settings.load().oidc_scopes == ("openid", "offline_access")


def test_production_starts_when_all_is_set(environment: pytest.MonkeyPatch):
    for name, value in PRODUCTION.items():
        environment.setenv(name, value)
    settings = Settings.load()
    assert settings.production
    assert settings.signing_key() == KEY.encode()


def test_development_lets_through_what_production_refuses(environment: pytest.MonkeyPatch):
    environment.setenv("BACKCHANNEL_DEBUG", "1")
    environment.setenv("BACKCHANNEL_CORS_ORIGINS", "*")
    settings = Settings.load()
    assert (settings.debug, settings.cors_origins) == (True, ("*",))


def test_comma_lists(environment: pytest.MonkeyPatch):
    environment.setenv("BACKCHANNEL_AUTH", " jwt , anonymous,")
    environment.setenv("BACKCHANNEL_JWT_SECRET", KEY)
    environment.setenv("BACKCHANNEL_CORS_ORIGINS", "https://a.example, http://b.example:8080 ,")
    settings = Settings.load()
    assert settings.auth == ("jwt", "anonymous")
    assert settings.cors_origins == ("https://a.example", "http://b.example:8080")


def test_public_url_loses_its_slash(environment: pytest.MonkeyPatch):
    environment.setenv("BACKCHANNEL_PUBLIC_URL", "https://chat.example.com/")
    assert Settings.load().public_url == "https://chat.example.com"


def test_the_dot_env_file_is_read_and_the_environment_wins(environment: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / ".env").write_text(
        "BACKCHANNEL_MAX_TURNS=7\nBACKCHANNEL_MODEL='größe'\nOPENAI_API_KEY=sk-file\nUNRELATED=1\n", "utf-8"
    )
    environment.setenv("BACKCHANNEL_MAX_TURNS", "9")
    settings = Settings.load()
    assert (settings.max_turns, settings.model) == (9, "größe")
    assert settings.openai_api_key is not None
    assert settings.openai_api_key.get_secret_value() == "sk-file"


def test_a_wrong_value_in_the_dot_env_file_is_named(environment: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / ".env").write_text("BACKCHANNEL_MAX_TURNS=many\n", "utf-8")
    assert refusal(environment, {}).startswith("BACKCHANNEL_MAX_TURNS: ")


@pytest.mark.parametrize(
    ("variables", "offline"),
    [
        ({}, True),
        ({"OPENAI_API_KEY": "sk-x"}, False),
        ({"OPENAI_API_KEY": ""}, True),
        ({"OPENAI_API_KEY": "sk-x", "BACKCHANNEL_MODEL": "offline"}, True),
        ({"BACKCHANNEL_MODEL": "gpt-5.1"}, False),
        ({"BACKCHANNEL_MODEL": ""}, True),
    ],
)
def test_which_model_answers(environment: pytest.MonkeyPatch, variables: dict[str, str], offline: bool):
    for name, value in variables.items():
        environment.setenv(name, value)
    assert Settings.load().offline is offline


OPTIONAL = [
    "BACKCHANNEL_DATABASE_URL",
    "BACKCHANNEL_MODEL",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "BACKCHANNEL_CORS_ORIGINS",
    "BACKCHANNEL_PUBLIC_URL",
    "BACKCHANNEL_SECRET_KEY",
    "BACKCHANNEL_JWT_SECRET",
    "BACKCHANNEL_JWT_ISSUER",
    "BACKCHANNEL_JWT_AUDIENCE",
    "BACKCHANNEL_LOG_FORMAT",
]


@pytest.mark.parametrize("name", OPTIONAL)
def test_an_empty_value_means_unset(environment: pytest.MonkeyPatch, name: str):
    """Compose files and `.env` files write `NAME=` for what is not set."""
    environment.setenv(name, "")
    assert Settings.load().model_dump() == Settings.model_construct().model_dump()


def test_an_empty_value_does_not_get_production_started(environment: pytest.MonkeyPatch):
    assert "BACKCHANNEL_SECRET_KEY" in refusal(environment, {**PRODUCTION, "BACKCHANNEL_SECRET_KEY": ""})
    assert "BACKCHANNEL_AUTH" in refusal(environment, {**PRODUCTION, "BACKCHANNEL_AUTH": ""})


def test_settings_cannot_be_changed_underway():
    settings = Settings.load()
    with pytest.raises(Exception, match="frozen"):
        settings.debug = True


@pytest.mark.row("G7")
def test_all_that_is_wrong_can_be_reported_at_once(environment: pytest.MonkeyPatch) -> None:
    wrong = {
        "BACKCHANNEL_ENV": "production",
        "BACKCHANNEL_SECRET_KEY": "short",
        "BACKCHANNEL_DEBUG": "true",
        "BACKCHANNEL_CORS_ORIGINS": "*",
        "BACKCHANNEL_MAX_TURNS": "many",
        "OPENAI_BASE_URL": "http://127.0.0.1:1/v1",
    }
    for name, value in wrong.items():
        environment.setenv(name, value)
    settings, problems = Settings.load_with_problems("app:agent")
    assert [re.split(r"[:= ]", problem)[0] for problem in problems] == [
        "BACKCHANNEL_SECRET_KEY",
        "BACKCHANNEL_MAX_TURNS",
        "BACKCHANNEL_AUTH",
        "BACKCHANNEL_DEBUG",
        "BACKCHANNEL_CORS_ORIGINS",
    ]
    # What was right is used.
    assert (settings.app, settings.openai_base_url) == ("app:agent", "http://127.0.0.1:1/v1")
    assert settings.max_turns == 20
    with pytest.raises(ConfigurationError):
        Settings.load()


@pytest.mark.row("G7")
def test_settings_without_a_problem_are_those_that_are_loaded(environment: pytest.MonkeyPatch) -> None:
    for name, value in PRODUCTION.items():
        environment.setenv(name, value)
    settings, problems = Settings.load_with_problems(None)
    assert problems == []
    assert settings.model_dump() == Settings.load().model_dump()
