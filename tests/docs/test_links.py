"""Links between the pages of the repository lead somewhere."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md"))]
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
# A test may be named behind its file: `tests/architecture/test_threat_model.py` looks for it.
FILE = re.compile(r"`((?:benchmarks|docs|src|tests)/(?![^`\s]*(?:NNNN|[<*]))[^`\s:]+)(?:::\w+)?`")
LINK = re.compile(r"\[[^\]]*\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_link_leads_to_a_file_and_a_heading() -> None:
    wrong: list[str] = []
    for page in PAGES:
        for target, anchor in LINK.findall(FENCED.sub("", page.read_text(encoding="utf-8"))):
            path = (page.parent / target).resolve() if target else page
            if not path.exists() or (anchor and anchor not in anchors(path.read_text(encoding="utf-8"))):
                wrong.append(f"{page.relative_to(ROOT)}: {target}#{anchor}")
    assert wrong == []


def test_every_file_that_is_named_exists() -> None:
    named = {(page, name) for page in PAGES for name in FILE.findall(page.read_text(encoding="utf-8"))}
    assert len(named) > 30
    wrong = [f"{page.relative_to(ROOT)}: {name}" for page, name in named if not (ROOT / name).exists()]
    assert sorted(wrong) == []
