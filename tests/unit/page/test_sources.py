"""What can be said of the chat page without a browser: what its sources must and must not contain."""

import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import pytest

import backchannel

pytestmark = pytest.mark.row("H3")

PAGE = Path(backchannel.__file__).parent / "page"
SOURCES = sorted(path for path in PAGE.rglob("*") if path.suffix in {".html", ".css", ".js", ".svg"})
MODULES = sorted(PAGE.glob("modules/*.js"))
STYLES = sorted(PAGE.glob("styles/*.css"))

MAX_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_LINES_FOR_OTHERS = 300
UNSAFE = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|setHTMLUnsafe"
    r"|DOMParser|\beval\(|new Function|setAttribute\(\"style\"|srcdoc|javascript:"
)
TOO_NEW = re.compile(
    r"AbortSignal\.any|URL\.parse\(|Promise\.(?:withResolvers|try)|\bObject\.groupBy|\bMap\.groupBy|Array\.fromAsync"
)
COMMENT = re.compile(r"^\s*//.*$", re.MULTILINE)
ADDRESS = re.compile(r"(?:https?:)?//(?!www\.w3\.org/)[\w.-]+\.\w+[^\s\"'`)]*")
LOADED = re.compile(r"@import|@font-face|url\(")
IMPORT = re.compile(r"^import\s+(?:[^\"';]*?\sfrom\s+)?\"([^\"]+)\"", re.MULTILINE)
FUNCTION = re.compile(
    r"^(?P<indent> *)(?:export )?(?:static )?(?:async )?(?:function\b|(?:get |set )?#?\w+\([^()]*\) \{$"
    r"|const \w+ = (?:async )?\(.*=> \{$)"
)


class Page(HTMLParser):
    """Notes the files a document refers to, and whatever a strict content security policy would block."""

    def __init__(self) -> None:
        super().__init__()
        self.references: list[str] = []
        self.blocked: list[str] = []
        self._in_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_script = tag in {"script", "style"}
        for name, value in attrs:
            if name in {"src", "href"} and value:
                self.references.append(value)
            if name == "style" or name.startswith("on"):
                self.blocked.append(f"<{tag} {name}>")

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        if self._in_script and data.strip():
            self.blocked.append(data.strip())


def document() -> Page:
    page = Page()
    page.feed((PAGE / "index.html").read_text(encoding="utf-8"))
    return page


def found_in(
    paths: Sequence[Path], pattern: re.Pattern[str], *, comments: bool = True
) -> dict[str, list[str]]:
    """What a pattern finds, by file; files without any are left out."""
    assert len(paths) > 4
    texts = {path.name: path.read_text(encoding="utf-8") for path in paths}
    found = {
        name: [match.group() for match in pattern.finditer(text if comments else COMMENT.sub("", text))]
        for name, text in texts.items()
    }
    return {name: matches for name, matches in found.items() if matches}


def test_no_source_turns_text_into_markup() -> None:
    assert found_in(SOURCES, UNSAFE) == {}


def test_no_source_names_another_host() -> None:
    assert found_in(SOURCES, ADDRESS) == {}


def test_styles_load_nothing() -> None:
    assert found_in(STYLES, LOADED) == {}


def test_no_source_needs_a_browser_of_the_last_two_years() -> None:
    assert found_in(MODULES, TOO_NEW, comments=False) == {}


def test_modules_stay_small() -> None:
    for path in MODULES:
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) < MAX_LINES, path.name
        long = {name: length for name, length in functions(lines) if length >= MAX_FUNCTION_LINES}
        assert long == {}, path.name


def functions(lines: Sequence[str]) -> list[tuple[str, int]]:
    """Every function that spans lines, with its length: up to the closing brace at its own indentation."""
    found: list[tuple[str, int]] = []
    for number, line in enumerate(lines):
        match = FUNCTION.match(line)
        if match is None or not line.endswith("{"):
            continue
        indent = match["indent"]
        end = next(index for index in range(number + 1, len(lines)) if lines[index].startswith(indent + "}"))
        found.append((line.strip(), end - number + 1))
    return found


def test_the_functions_of_a_module_are_found() -> None:
    source = "export function long(a) {\n  work();\n}\nclass A {\n  async #load() {\n    x();\n  }\n}"

    assert [length for _, length in functions(source.splitlines())] == [3, 3]


def test_every_file_the_document_names_exists() -> None:
    references = document().references

    assert len(references) > 5
    for reference in references:
        # Relative, so that the page also works below a prefix.
        assert reference.startswith("page/")
        assert (PAGE / reference.removeprefix("page/")).is_file(), reference


def test_every_style_sheet_is_used() -> None:
    linked = {name.removeprefix("page/styles/") for name in document().references if name.endswith(".css")}
    login = (PAGE / "login.html").read_text(encoding="utf-8")
    linked |= set(re.findall(r'href="(?:\$up)?\.\./page/styles/([a-z-]+\.css)"', login))

    assert linked == {path.name for path in STYLES}


def test_the_document_has_nothing_inline() -> None:
    assert document().blocked == []


def test_every_import_exists() -> None:
    for path in MODULES:
        for name in IMPORT.findall(path.read_text(encoding="utf-8")):
            assert name.startswith("./"), path.name
            assert (path.parent / name).is_file(), f"{path.name} imports {name}"


ENTRIES = ["chatkit-fetch.js"]
"""Modules that pages of others import."""


def test_every_module_is_reached_from_the_document() -> None:
    reached: set[str] = set()
    waiting = [name.removeprefix("page/modules/") for name in document().references if name.endswith(".js")]
    waiting += ENTRIES
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        reached.add(name)
        text = (PAGE / "modules" / name).read_text(encoding="utf-8")
        waiting += [imported.removeprefix("./") for imported in IMPORT.findall(text)]

    assert reached == {path.name for path in MODULES}


def test_what_others_import_is_small_and_needs_little() -> None:
    """People read it before they trust it, and copy it where they may not import it."""
    reached, waiting = set[str](), [*ENTRIES]
    while waiting:
        name = waiting.pop()
        reached.add(name)
        text = (PAGE / "modules" / name).read_text(encoding="utf-8")
        assert len(text.splitlines()) < MAX_LINES_FOR_OTHERS, name
        waiting += [imported.removeprefix("./") for imported in IMPORT.findall(text)]

    assert reached == {"chatkit-fetch.js", "runs-api.js", "run-follower.js", "sse.js"}


def test_the_server_can_fill_in_its_settings() -> None:
    text = (PAGE / "index.html").read_text(encoding="utf-8")

    assert '<meta name="backchannel-base" content="">' in text
    assert '<meta name="backchannel-suggestions" content="">' in text
