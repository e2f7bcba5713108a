"""`.env.example` lists every setting as `Settings` has it."""

import re
from pathlib import Path

import pytest

from backchannel.settings import Settings
from backchannel.settings_reference import env_example

pytestmark = pytest.mark.row("G5")

EXAMPLE = Path(__file__).parents[2] / ".env.example"
ASSIGNMENT = re.compile(r"^#([A-Z_]+)=(.*)$", re.MULTILINE)


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for _, name, _ in _settings():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def _settings() -> list[tuple[str, str, str]]:
    """Field, variable and first words of the description, worked out without `settings_reference`."""
    return [
        (
            name,
            field.validation_alias
            if isinstance(field.validation_alias, str)
            else f"BACKCHANNEL_{name.upper()}",
            (field.description or "").partition(". ")[0].rstrip("."),
        )
        for name, field in Settings.model_fields.items()
    ]


def test_the_file_is_what_the_settings_say():
    regenerate = "uv run python -m backchannel.settings_reference > .env.example"
    assert EXAMPLE.read_text(encoding="utf-8") == env_example(), (
        f".env.example does not list the settings as they are now. Regenerate it: {regenerate}"
    )


def test_every_setting_is_listed_once_in_order_with_its_description():
    text = env_example()
    assert [match[0] for match in ASSIGNMENT.findall(text)] == [name for _, name, _ in _settings()]
    for _, name, sentence in _settings():
        assert f"# {sentence}.\n#{name}=" in text


def test_uncommenting_every_default_changes_nothing(tmp_path: Path):
    lines = [f"{name}={value}" for name, value in ASSIGNMENT.findall(env_example()) if value]
    assert len(lines) > 10
    (tmp_path / ".env").write_text("\n".join(lines), encoding="utf-8")
    assert Settings.load().model_dump() == Settings.model_construct().model_dump()
    assert Settings.load().model_fields_set >= {"env", "max_turns", "auth", "debug"}


def test_a_plain_copy_of_the_file_sets_nothing(tmp_path: Path):
    (tmp_path / ".env").write_text(env_example(), encoding="utf-8")
    assert Settings.load().model_fields_set == set()


def test_no_default_is_hidden_by_an_empty_value():
    shown = dict(ASSIGNMENT.findall(env_example()))
    defaults = Settings.model_construct()
    for field, name, _ in _settings():
        unset = getattr(defaults, field) in (None, (), "")
        assert (shown[name] == "") == unset, name
