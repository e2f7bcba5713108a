"""What the page says of files and which it refuses, run in the page."""

from typing import Any

import pytest
from playwright.async_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.row("E2")]

MIB = 1 << 20
LIMITS = {
    "max_bytes": 25 * MIB,
    "max_files": 3,
    "types": ["image/png", "image/jpeg", "application/pdf", "text/plain", "text/csv", ".docx"],
    "quota_bytes": 100 * MIB,
    "used_bytes": 0,
}


async def run(tab: Page, module: str, code: str, argument: Any = None) -> Any:
    """What an expression gives in which `m` is a module of the page, and `a` the argument."""
    return await tab.evaluate(
        f"async (a) => {{ const m = await import('/page/modules/{module}'); return {code}; }}", argument
    )


async def test_names_are_cut_in_the_middle_and_never_within_a_character(tab: Page) -> None:
    names = [
        "a.txt",
        "The minutes of the meeting of the board.pdf",
        "a name without any extension at all, which is long",
        "👩‍👩‍👧👩‍👩‍👧👩‍👩‍👧👩‍👩‍👧👩‍👩‍👧👩‍👩‍👧👩‍👩‍👧👩‍👩‍👧👩‍👩‍👧👩‍👩‍👧👩‍👩‍👧👩‍👩‍👧👩‍👩‍👧👩‍👩‍👧👩‍👩‍👧👩‍👩‍👧👩‍👩‍👧👩‍👩‍👧👩‍👩‍👧👩‍👩‍👧.png",
        ".gitignore",
        "archive.tar.gz",
        "photo.an-extension-that-is-none-because-it-is-too-long",
    ]
    split = await run(tab, "file-text.js", "a.map((name) => m.splitName(name))", names)

    assert ["".join(parts) for parts in split] == names
    tails = [tail for _, tail in split]
    assert tails == ["", "board.pdf", " long", "👩‍👩‍👧" * 5 + ".png", "", "", "-long"]
    cut = await run(tab, "file-text.js", "m.middleCut('x'.repeat(200) + '.pdf')")
    assert cut.endswith("…xxxxx.pdf")
    assert len(cut) == 40
    # Shown as it is, the name of a program would end with ".pdf".
    hidden = "report\u202efdp.exe\u200b"
    assert await run(tab, "file-text.js", "m.shownName(a)", hidden) == "reportfdp.exe"


async def test_a_size_above_a_limit_never_reads_like_the_limit(tab: Page) -> None:
    sizes = await run(
        tab,
        "file-text.js",
        "[m.sizeText(0), m.sizeText(1), m.sizeText(1023), m.sizeText(1536), m.sizeText(a, Math.floor), "
        "m.sizeText(a + 1, Math.ceil)]",
        25 * MIB,
    )

    assert sizes == ["0 bytes", "1 byte", "1023 bytes", "1.5 KB", "25 MB", "25.1 MB"]


@pytest.mark.parametrize(
    ("name", "mime_type", "taken"),
    [
        ("a.png", "image/png", True),
        ("a.heic", "image/heic", False),
        ("a.svg", "image/svg+xml", False),
        ("a.mov", "video/quicktime", False),
        ("a.zip", "application/zip", False),
        ("a.xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", False),
        ("a.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", True),
        # What it is depends on the computer: the server decides.
        ("a.csv", "application/vnd.ms-excel", True),
        ("a.md", "", True),
        ("a.py", "text/x-python", True),
        ("a.ts", "video/mp2t", True),
        ("Makefile", "application/octet-stream", True),
    ],
)
async def test_only_files_that_cannot_be_of_an_allowed_type_are_refused(
    tab: Page, name: str, mime_type: str, taken: bool
) -> None:
    given = [name, mime_type, LIMITS["types"]]
    assert await run(tab, "upload-limits.js", "m.mayBeTaken(...a)", given) is taken


async def test_each_refusal_says_why(tab: Page) -> None:
    files = [
        {"name": "ok.png", "type": "image/png", "size": 5},
        {"name": "none.txt", "type": "text/plain", "size": 0},
        {"name": "big.pdf", "type": "application/pdf", "size": 25 * MIB + 1},
        {"name": "film.mov", "type": "video/quicktime", "size": 5},
        {"name": "b.txt", "type": "text/plain", "size": 5},
        {"name": "c.txt", "type": "text/plain", "size": 5},
        {"name": "d.txt", "type": "text/plain", "size": 5},
    ]
    code = "m.sortOut(a.files, a.limits, a.there)"
    there = {"count": 1, "bytes": 0}
    found = await run(tab, "upload-limits.js", code, {"files": files, "limits": LIMITS, "there": there})

    assert [file["name"] for file in found["taken"]] == ["ok.png", "b.txt"]
    assert found["refusals"] == [
        "“none.txt” is empty. Choose another file.",
        "“big.pdf” is too large: it has 25.1 MB, and a file can have 25 MB.",
        "“film.mov” was not attached: files of type MOV are not taken here, only PNG, JPEG, PDF, text, CSV, DOCX.",
        "A message can have 3 files at most. Not attached: “c.txt”, “d.txt”.",
    ]
    # Files that are on their way count, too, and so do the ones before in the same choice.
    mine = [{"name": f"{n}.pdf", "type": "application/pdf", "size": 20 * MIB} for n in (1, 2)]
    nearly = {**LIMITS, "used_bytes": 50 * MIB}
    there = {"count": 0, "bytes": 15 * MIB}
    found = await run(tab, "upload-limits.js", code, {"files": mine, "limits": nearly, "there": there})
    assert [file["name"] for file in found["taken"]] == ["1.pdf"]
    assert found["refusals"] == [
        (
            "“2.pdf” does not fit: 15 MB of your 100 MB for files are left. "
            "Delete chats with files that you do not need any more."
        )
    ]


async def test_the_dialog_offers_the_camera_and_texts_that_browsers_do_not_know(tab: Page) -> None:
    accept = await run(tab, "upload-limits.js", "m.acceptOf(a)", ["image/png", "text/markdown", ".docx"])

    assert accept == "image/*,image/png,text/markdown,.docx,.md,.markdown"
    assert "image/*" not in await run(tab, "upload-limits.js", "m.acceptOf(a)", ["text/plain"])


PASTED = """a.map(({ text, files }) => m.pastedFiles({
  files: files.map((name) => ({ name })),
  getData: (type) => (type === "text/plain" ? text : ""),
}).map(({ name }) => name))"""


async def test_a_text_wins_over_its_own_picture_but_not_over_names_of_files(tab: Page) -> None:
    clipboards = [
        {"text": "A1\tB1\r\n", "files": ["image.png"]},
        {"text": "", "files": ["image.png"]},
        {"text": "\n", "files": ["image.png"]},
        {"text": "plan.pdf", "files": ["plan.pdf"]},
        {"text": "/home/me/plan.pdf\n/home/me/b.txt", "files": ["plan.pdf", "b.txt"]},
        {"text": "file:///home/me/my%20plan.pdf", "files": ["my plan.pdf"]},
        {"text": "just words", "files": []},
    ]

    assert await run(tab, "file-intake.js", PASTED, clipboards) == [
        [],
        ["image.png"],
        ["image.png"],
        ["plan.pdf"],
        ["plan.pdf", "b.txt"],
        ["my plan.pdf"],
        [],
    ]
