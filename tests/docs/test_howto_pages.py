"""The code on the pages of `docs/howto` is complete, short, and imports only what is public (H14)."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs.conftest import DOCS, files_of

pytestmark = pytest.mark.row("H14")

PUBLIC = {
    "backchannel",
    "backchannel.authenticators.base",
    "backchannel.errors",
    "backchannel.hooks",
    "backchannel.http",
    "backchannel.sql",
    "backchannel.stores.base",
    "backchannel.testing",
    "backchannel.testing.endpoints",
}
PAGES = [
    "authenticate-callers.md",
    "build-an-application.md",
    "connect-mcp-servers.md",
    "listen-to-hooks.md",
    "mount-in-a-host-application.md",
    "serve-your-own-server.md",
    "store-attachments.md",
    "test-with-odd-endpoints.md",
    "widgets-and-actions.md",
]
MAX_LINES = 30
"""Lines of code that one example may have, blank ones not counted."""

FILES = [(page, name) for page in PAGES for name in files_of(page)]
FENCE = re.compile(r"^```python$", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_every_python_block_of_a_page_is_a_file_with_a_name(page: str) -> None:
    text = (DOCS / "howto" / page).read_text(encoding="utf-8")
    assert len(FENCE.findall(text)) == len(files_of(page)) > 0


@pytest.mark.parametrize(("page", "name"), FILES)
def test_an_example_is_short(page: str, name: str) -> None:
    lines = [line for line in files_of(page)[name].splitlines() if line.strip()]
    assert len(lines) <= MAX_LINES
    assert max(map(len, lines)) <= 110


@pytest.mark.parametrize(("page", "name"), FILES)
def test_an_example_imports_only_what_is_public(page: str, name: str) -> None:
    for node in ast.walk(ast.parse(files_of(page)[name])):
        if isinstance(node, ast.Import):
            assert not [each.name for each in node.names if each.name.split(".")[0] == "backchannel"]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "backchannel":
            assert node.module in PUBLIC
            public = importlib.import_module(node.module).__all__
            assert {each.name for each in node.names} <= set(public)


@pytest.mark.parametrize("page", PAGES)
def test_the_examples_are_formatted(page: str, write_page, folder: Path) -> None:
    write_page(page)
    ruff = Path(sys.executable).with_name("ruff")
    done = subprocess.run(
        [ruff, "format", "--isolated", "--line-length", "108", "--check", "."],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
