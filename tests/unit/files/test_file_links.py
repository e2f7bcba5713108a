"""Signed links to files: for one file, one purpose and one owner, and for a while."""

import time
from urllib.parse import parse_qs, urlsplit

import pytest

from backchannel.context import Identity
from backchannel.errors import NotFoundError
from backchannel.errors.files import LinkExpiredError
from backchannel.files.keys import Form
from backchannel.files.links import FileLinks, Purpose

pytestmark = pytest.mark.row("E4")

KEY = b"k" * 32
ANN = Identity("ann", tenant="acme")
FILE = "atc_" + "0" * 31 + "1"


@pytest.fixture
def links() -> FileLinks:
    return FileLinks(KEY, seconds=100, upload_seconds=50)


def query(path: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}


def check(
    links: FileLinks,
    path: str,
    purpose: Purpose = "read",
    file_id: str = FILE,
    owner: Identity | None = ANN,
    form: Form = "original",
    **changed: str,
) -> int:
    given = {**query(path), **changed}
    return links.check(
        purpose, file_id, owner, form=form, expires=given["expires"], signature=given["signature"]
    )


def test_a_link_is_valid_for_a_while(links: FileLinks, monkeypatch: pytest.MonkeyPatch):
    path = links.read_path(FILE, ANN)
    assert 100 <= check(links, path) <= 126
    assert 0 < check(links, links.upload_path(FILE, ANN), "upload") <= 50
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 130)
    with pytest.raises(LinkExpiredError):
        check(links, path)


def test_the_same_link_is_made_for_a_while(links: FileLinks, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0)
    first = links.read_path(FILE, ANN, "preview")
    monkeypatch.setattr(time, "time", lambda: 1_000_024.0)
    assert links.read_path(FILE, ANN, "preview") == first
    monkeypatch.setattr(time, "time", lambda: 1_000_025.0)
    assert links.read_path(FILE, ANN, "preview") != first


@pytest.mark.parametrize(
    "change",
    [
        {"file_id": "atc_" + "0" * 31 + "2"},
        {"purpose": "upload"},
        {"form": "preview"},
        {"owner": Identity("bob", tenant="acme")},
        {"owner": Identity("ann", tenant="other")},
        {"owner": None},
        {"expires": "99999999999"},
        {"expires": ""},
        {"expires": "²"},
        {"expires": "9" * 400},
        {"expires": "-1"},
        {"signature": ""},
        {"signature": "0" * 64},
        {"signature": "ü"},
        {"signature": "\ud800"},
    ],
    ids=str,
)
def test_a_link_is_for_what_it_was_made_for(links: FileLinks, change: dict[str, object]):
    path = links.read_path(FILE, ANN)
    with pytest.raises(NotFoundError):
        check(links, path, **change)  # type: ignore[arg-type]


def test_a_link_of_another_deployment_is_not_valid(links: FileLinks):
    with pytest.raises(NotFoundError):
        check(links, FileLinks(b"j" * 32, seconds=100, upload_seconds=50).read_path(FILE, ANN))


def test_parts_of_an_owner_cannot_be_shifted(links: FileLinks):
    path = links.read_path(FILE, Identity("b", tenant="aa"))
    with pytest.raises(NotFoundError):
        check(links, path, owner=Identity("ab", tenant="a"))
