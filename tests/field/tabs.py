"""What several tests of the page do."""

from browser.chat_page import ChatPage

LONG = "what can you do?"
BEGUN = "stand-in"
"""In the answer to `LONG`, early."""


async def another_tab(chat: ChatPage) -> ChatPage:
    """A second tab of the same person on the same chat."""
    tab = ChatPage(await chat.page.context.new_page(), chat.server_url)
    await tab.page.goto(chat.page.url)
    return tab


async def said(chat: ChatPage) -> list[str]:
    """Who said something, in order, and the reader's own words."""
    articles = chat.messages.get_by_role("article")
    return [
        await article.inner_text() if await article.get_attribute("aria-label") == "You" else "Answer"
        for article in await articles.all()
    ]
