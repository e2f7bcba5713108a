"""Markdown in the page: what becomes which element, and that half an answer looks like an answer."""

import pytest
from playwright.async_api import Page

from browser.chat_page import OpenPage

pytestmark = [pytest.mark.browser, pytest.mark.row("H3")]

RENDER = """async ({ text, partial }) => {
  const { MarkdownView } = await import("/page/modules/markdown.js");
  const box = document.createElement("div");
  new MarkdownView(box).update(text, partial);
  const outline = (node) => {
    if (node.nodeType === Node.TEXT_NODE) return node.data;
    if (node.matches(".code-bar")) return "";
    const tag = node.matches(".code-block, .table-frame") ? "" : node.localName;
    const inner = [...node.childNodes].map(outline).join("");
    return tag ? (["br", "hr", "img", "input"].includes(tag) ? `<${tag}>` : `<${tag}>${inner}</${tag}>`) : inner;
  };
  return [...box.childNodes].map(outline).join("");
}"""


async def render(tab: Page, text: str, *, partial: bool = False) -> str:
    return await tab.evaluate(RENDER, {"text": text, "partial": partial})


TABLE_BODY = "<tbody><tr><td>1</td><td><code>x|y</code></td></tr><tr><td>2</td><td></td></tr></tbody>"
FINISHED = [
    ("plain", "<p>plain</p>"),
    ("one\ntwo\n\nthree", "<p>one<br>two</p><p>three</p>"),
    ("# A\n## B ##\n###### C", "<h3>A</h3><h4>B</h4><h6>C</h6>"),
    ("**a *b* c**", "<p><strong>a <em>b</em> c</strong></p>"),
    (
        "***x*** __y__ _z_ ~~w~~",
        "<p><em><strong>x</strong></em> <strong>y</strong> <em>z</em> <del>w</del></p>",
    ),
    ("snake_case_name 2 * 3 * 4", "<p>snake_case_name 2 * 3 * 4</p>"),
    (r"\*not\* \_this\_", "<p>*not* _this_</p>"),
    ("`a*b*` ``c`d``", "<p><code>a*b*</code> <code>c`d</code></p>"),
    ("`never closed", "<p>`never closed</p>"),
    ("**never closed", "<p>**never closed</p>"),
    ("- a\n- b", "<ul><li>a</li><li>b</li></ul>"),
    ("* a\n  * b\n    * c\n* d", "<ul><li>a<ul><li>b<ul><li>c</li></ul></li></ul></li><li>d</li></ul>"),
    ("3. a\n4. b", "<ol><li>a</li><li>b</li></ol>"),
    ("1. a\n   - b\n2. c", "<ol><li>a<ul><li>b</li></ul></li><li>c</li></ol>"),
    ("1. a\n\n2. b", "<ol><li><p>a</p></li><li><p>b</p></li></ol>"),
    ("- [x] a\n- [ ] b", "<ul><li><input>a</li><li><input>b</li></ul>"),
    ("in\n2026. A year", "<p>in<br>2026. A year</p>"),
    ("```py\nif a < b:\n    c\n```", "<pre><code>if a < b:\n    c</code></pre>"),
    ("~~~\n```\n~~~", "<pre><code>```</code></pre>"),
    ("> a\n> - b\n\nc", "<blockquote><p>a</p><ul><li>b</li></ul></blockquote><p>c</p>"),
    ("a\n\n---\n\nb", "<p>a</p><hr><p>b</p>"),
    (
        "| a | b |\n|---|:-:|\n| 1 | `x|y` |\n| 2 |",
        "<table><thead><tr><th>a</th><th>b</th></tr></thead>" + TABLE_BODY + "</table>",
    ),
    ("[a](https://example.org/x_(y))", "<p><a>a</a></p>"),
    ("see https://example.org/a_b.", "<p>see <a>https://example.org/a_b</a>.</p>"),
    ("<me@example.org>", "<p><a>me@example.org</a></p>"),
    ("a &amp; b &lt; c &#x41; &nope;", "<p>a & b < c A &nope;</p>"),
    ("", ""),
    ("\r\n\r\na\r\nb", "<p>a<br>b</p>"),
]


@pytest.mark.parametrize(("text", "expected"), FINISHED, ids=[text[:20] or "empty" for text, _ in FINISHED])
async def test_finished(tab: Page, text: str, expected: str) -> None:
    assert await render(tab, text) == expected


GROWING = [
    ("**bo", "<p><strong>bo</strong></p>"),
    ("a **", "<p>a </p>"),
    ("a *b **c", "<p>a <em>b <strong>c</strong></em></p>"),
    ("`co", "<p><code>co</code></p>"),
    ("see [the docs](https://exa", "<p>see the docs</p>"),
    ("see [the do", "<p>see the do</p>"),
    ("```js\nlet a", "<pre><code>let a</code></pre>"),
    ("- one\n- ", "<ul><li>one</li></ul>"),
    ("- one\n- **tw", "<ul><li>one</li><li><strong>tw</strong></li></ul>"),
    ("one\n\n#", "<p>one</p>"),
    ("1", ""),
    ("| a | b |", "<table><thead><tr><th>a</th><th>b</th></tr></thead><tbody></tbody></table>"),
    ("| a | b |\n|--", "<table><thead><tr><th>a</th><th>b</th></tr></thead><tbody></tbody></table>"),
    ("a\n``", "<p>a</p>"),
]


@pytest.mark.parametrize(("text", "expected"), GROWING, ids=[text for text, _ in GROWING])
async def test_growing(tab: Page, text: str, expected: str) -> None:
    assert await render(tab, text, partial=True) == expected


UNSAFE = [
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x]( javascript:alert(1))",
    "[x](data:text/html,<b>hi</b>)",
    "[x](vbscript:x)",
    "[x](/relative)",
    "[x](//example.org)",
    "![x](javascript:alert(1))",
    "![x](data:text/html,hi)",
    "![x](data:image/svg+xml,<svg>)",
]


@pytest.mark.parametrize("text", UNSAFE)
async def test_unsafe_text_stays_text(tab: Page, text: str) -> None:
    assert await render(tab, text) == f"<p>{text}</p>"


async def test_links_open_elsewhere_without_a_way_back(tab: Page) -> None:
    found = await tab.evaluate(
        """async () => {
          const { renderMarkdown } = await import("/page/modules/markdown.js");
          const text = "[a](https://example.org) ![pic](https://example.org/p.png) <mailto:a@b.de>";
          const box = renderMarkdown(text);
          return [...box.querySelectorAll("a")].map((a) => [a.href, a.target, a.rel]);
        }"""
    )

    safe = ["_blank", "noopener noreferrer"]
    assert found == [
        ["https://example.org/", *safe],
        ["https://example.org/p.png", *safe],
        ["mailto:a@b.de", *safe],
    ]


async def test_a_growing_text_changes_only_its_end(tab: Page) -> None:
    kept = await tab.evaluate(
        """async () => {
          const { MarkdownView } = await import("/page/modules/markdown.js");
          const box = document.createElement("div");
          const view = new MarkdownView(box);
          view.update("one\\n\\n- a\\n- b\\n\\nthr", true);
          const before = [...box.children];
          view.update("one\\n\\n- a\\n- b\\n\\nthree\\n\\nfour", true);
          const after = [...box.children];
          view.update("one", false);
          return [before[0] === after[0], before[1] === after[1], before[2] === after[2], after.length,
                  box.children.length];
        }"""
    )

    assert kept == [True, True, False, 4, 1]


async def test_code_can_be_copied(open_page: OpenPage) -> None:
    chat = await open_page(permissions=["clipboard-read", "clipboard-write"])
    await chat.load()
    await chat.page.evaluate(
        """async () => {
          const { renderMarkdown } = await import("/page/modules/markdown.js");
          document.querySelector("main").append(renderMarkdown("```sh\\necho 1\\n```"));
        }"""
    )

    await chat.button("Copy code").click()

    assert await chat.page.evaluate("navigator.clipboard.readText()") == "echo 1"


HARD = [
    "[" * 9000,
    "*a " * 5000,
    "*a " * 3000 + "a* " * 3000,
    "> " * 3000 + "x",
    "- " * 3000 + "x",
    "|" + "-|" * 5000,
    " " * 9000 + "x",
]


@pytest.mark.parametrize(
    "text", HARD, ids=["brackets", "stars", "nested", "quotes", "dashes", "bars", "spaces"]
)
async def test_hostile_text_takes_no_noticeable_time(tab: Page, text: str) -> None:
    milliseconds = await tab.evaluate(
        """async (text) => {
          const { MarkdownView } = await import("/page/modules/markdown.js");
          const start = performance.now();
          new MarkdownView(document.createElement("div")).update(text, true);
          return performance.now() - start;
        }""",
        text,
    )

    assert milliseconds < 1500
