"""The key that signs cookies: made once, readable by its owner only, the same for every process."""

import os
import stat
from pathlib import Path

import pytest

from backchannel.errors import ConfigurationError
from backchannel.settings import DATA_FOLDER, Settings

pytestmark = pytest.mark.row("F3", "F7")


@pytest.fixture(autouse=True)
def empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.delenv("BACKCHANNEL_SECRET_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / DATA_FOLDER


def test_made_on_first_use_and_kept_over_a_restart(empty_folder: Path):
    key = Settings.load().signing_key()
    assert len(key) >= 32
    assert Settings.load().signing_key() == key
    assert [each.name for each in empty_folder.iterdir()] == ["secret_key"]


def test_readable_by_its_owner_only(empty_folder: Path):
    before = os.umask(0)
    try:
        Settings.load().signing_key()
    finally:
        os.umask(before)
    assert stat.S_IMODE((empty_folder / "secret_key").stat().st_mode) == 0o600


def test_each_installation_has_a_key_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    keys: set[bytes] = set()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        keys.add(Settings.load().signing_key())
    assert len(keys) == 2


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path):
    (tmp_path / DATA_FOLDER).write_text("a file where the folder should be")
    with pytest.raises(
        ConfigurationError, match=r"BACKCHANNEL_SECRET_KEY is not set and \.backchannel"
    ) as caught:
        Settings.load().signing_key()
    assert "\n" not in caught.value.message


def test_a_key_that_exists_needs_no_right_to_write(empty_folder: Path, monkeypatch: pytest.MonkeyPatch):
    key = Settings.load().signing_key()

    def refuse(*_args: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    for method in ("touch", "write_text", "hardlink_to"):
        monkeypatch.setattr(Path, method, refuse)
    assert Settings.load().signing_key() == key


@pytest.mark.parametrize("content", ["", "\n", "short"])
def test_a_key_file_that_was_cut_short_signs_nothing(empty_folder: Path, content: str):
    """An empty key would let anybody make cookies for anybody."""
    empty_folder.mkdir()
    (empty_folder / "secret_key").write_text(content)
    with pytest.raises(ConfigurationError, match="BACKCHANNEL_SECRET_KEY"):
        Settings.load().signing_key()
