"""What docs/howto/write-your-own-store.md tells people to write runs, and keeps the contract (D1, H5)."""

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from backchannel.testing.contracts.store import StoreContract
from backchannel.testing.contracts.store_extensions import ExtensionsSuite
from backchannel.testing.contracts.store_search import SearchSuite

pytestmark = pytest.mark.row("D1", "H5")

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "write-your-own-store.md"
FILE = re.compile(
    r"^```(?:python|toml)\n# (?P<name>\w+\.(?:py|toml))\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
SECONDS = 300
"""The most that the page's own tests may take, on a machine that does much else."""


def files_of(page: str) -> dict[str, str]:
    """The files that a page shows, by the name in the first line of each."""
    return {match["name"]: match["text"] for match in FILE.finditer(page)}


def count_of(suite: type) -> int:
    return sum(name.startswith("test_") for name, _ in inspect.getmembers(suite, callable))


def test_the_page_shows_every_file_by_name() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert len(files_of(page)) == len(re.findall(r"^```(?:python|toml)$", page, re.MULTILINE)) == 6


def test_the_files_of_the_page_run_and_their_store_keeps_the_contract(tmp_path: Path) -> None:
    for name, text in files_of(PAGE.read_text(encoding="utf-8")).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("BACKCHANNEL_", "OPENAI_", "PYTEST_"))
    }
    # As people run it: a project of its own, whose settings are those of the page.
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rs", "-W", "error::ResourceWarning", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    told = f"{done.stdout[-6000:]}\n{done.stderr[-2000:]}"
    assert done.returncode == 0, told
    beyond = count_of(ExtensionsSuite) + count_of(SearchSuite)
    # The whole suite but what the store does not offer, and the test that it is served.
    passed, skipped = count_of(StoreContract) - beyond + 1, beyond
    assert f"{passed} passed, {skipped} skipped" in done.stdout, told
