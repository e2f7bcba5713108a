"""docs/reference/public-api.md has every public name (H14)."""

import importlib
import re

import pytest

from backchannel.errors import BackchannelError
from docs.conftest import DOCS
from docs.test_howto_pages import PUBLIC

pytestmark = pytest.mark.row("H14")

PAGE = (DOCS / "reference" / "public-api.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
ROW = re.compile(r"^\| `([\w.]+)` \|(?: (?:(\d+) `(\w+)`)? ?\|)? (.+) \|$", re.MULTILINE)


def rows(section: str) -> list[str]:
    names = [name for name, *_ in ROW.findall(SECTIONS[section])]
    assert len(names) == len(set(names))
    return names


def test_the_page_has_every_public_module() -> None:
    assert {section.strip("`") for section in SECTIONS if section.startswith("`")} == PUBLIC


@pytest.mark.parametrize("module", sorted(PUBLIC))
def test_the_page_has_every_public_name_and_no_other(module: str) -> None:
    assert sorted(rows(f"`{module}`")) == sorted(importlib.import_module(module).__all__)


@pytest.mark.parametrize("module", sorted(PUBLIC))
def test_every_public_name_exists(module: str) -> None:
    found = importlib.import_module(module)
    assert [name for name in found.__all__ if not hasattr(found, name)] == []


@pytest.mark.parametrize("name", rows("Single names of other modules"))
def test_a_single_name_exists(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    assert hasattr(importlib.import_module(module), attribute)


def test_the_errors_have_the_status_and_the_code_that_the_page_says() -> None:
    errors = importlib.import_module("backchannel.errors")
    documented = {name: (int(status), code) for name, status, code, _ in ROW.findall(PAGE) if status}
    classes = {
        name: (getattr(errors, name).status, getattr(errors, name).code)
        for name in errors.__all__
        if isinstance(getattr(errors, name), type) and issubclass(getattr(errors, name), BackchannelError)
    }
    # It ends the command; no caller gets it.
    del classes["ConfigurationError"]
    assert documented == classes
