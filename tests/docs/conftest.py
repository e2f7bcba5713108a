"""The code of the documentation's pages, written to a folder of its own and served for real."""

import re
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from backchannel.settings import Settings
from backchannel.targets import load_target
from backchannel.testing import ChatKitClient
from backchannel.wiring import build
from wire.conftest import WAIT_SECONDS, Serve, Served, eventually, listening

DOCS = Path(__file__).parents[2] / "docs"
FILE = re.compile(r"^```python\n# (?P<name>[\w/]+\.py)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def files_of(page: str) -> dict[str, str]:
    """The Python files that a page of `docs/howto` shows, by the name in the first line of each."""
    text = (DOCS / "howto" / page).read_text(encoding="utf-8")
    return {match["name"]: match["text"] for match in FILE.finditer(text)}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Path]:
    """An empty working directory from which modules can be imported. They are forgotten after the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if str(tmp_path) in str(getattr(module, "__file__", None)):
            del sys.modules[name]


@pytest.fixture
def write_page(folder: Path) -> Callable[[str], None]:
    """`write_page("store-attachments.md")` writes the page's files to the working directory."""

    def write(page: str) -> None:
        for name, text in files_of(page).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    return write


@pytest.fixture
async def serve(folder: Path) -> AsyncGenerator[Serve]:
    """Serve what a page names: `await serve("seats:app")`."""
    async with AsyncExitStack() as stack:

        async def start(target: str, **settings: object) -> Served:
            backchannel = build(Settings.load(**settings), load_target(target))
            url = await stack.enter_async_context(listening(backchannel))
            person = await stack.enter_async_context(ChatKitClient(url, timeout=WAIT_SECONDS))
            return Served(url, backchannel, stack, person)

        yield start


@pytest.fixture(name="eventually")
def eventually_fixture() -> object:
    """`await eventually(lambda: condition, "what was expected")`."""
    return eventually
