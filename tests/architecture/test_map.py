"""The map in ARCHITECTURE.md is held against the tree."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src" / "backchannel"
UNNAMED = {"__init__", "__main__", "settings_reference"}


def drawn() -> str:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    return text[text.index("```") : text.index("```", text.index("```") + 3)]


def existing() -> set[str]:
    modules = {path.stem + ".py" for path in SOURCES.glob("*.py") if path.stem not in UNNAMED}
    folders = {
        f"{path.name}/" for path in [*SOURCES.iterdir(), *(SOURCES / "chat").iterdir()] if is_package(path)
    }
    return modules | folders


def is_package(path: Path) -> bool:
    return path.is_dir() and any(each.is_file() for each in path.iterdir()) and path.name != "__pycache__"


def test_every_module_and_package_is_on_the_map() -> None:
    missing = [name for name in existing() if name not in drawn()]
    assert not missing, missing


def test_everything_on_the_map_exists() -> None:
    source_part = drawn().partition("tests/ ")[0]
    named = set(re.findall(r"^ {2,4}([a-z_]+(?:\.py|/))", source_part, re.MULTILINE))
    named |= set(re.findall(r"(?<=[ ·])([a-z_]+\.py)\b", source_part))
    nested = {path.name for path in (SOURCES / "chat").glob("*.py")}
    gone = named - existing() - nested
    assert not gone, gone


def test_the_chain_of_imports_is_the_one_that_is_checked() -> None:
    text = " ".join((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").split())
    chain = text[text.index("`todo, cli → ") : text.index("and inside `chat`")]
    checked = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    layers = checked[checked.index('"Imports point one way"') : checked.index('"The rooms of a turn"')]
    in_order = [
        re.findall(r"backchannel\.([a-z_]+)", line) for line in layers.splitlines() if "backchannel." in line
    ]
    drawn_order = [re.findall(r"[a-z_]+", each) for each in chain.strip("`, ").split("→")]
    # Ids stand beside the context and are not drawn.
    assert [sorted(set(each) - {"ids"}) for each in in_order] == [sorted(each) for each in drawn_order]
