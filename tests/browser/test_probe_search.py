import pytest
from playwright.async_api import expect
pytestmark=[pytest.mark.browser]
@pytest.mark.parametrize("how", ["light","dark","phone","phone-dark"])
async def test_probe(open_page, how):
    chat = await open_page(dark="dark" in how, phone="phone" in how, reduced_motion="reduce")
    await chat.load()
    for q in ["Crème brûlée für Zoë", "find milk"]:
        a = await chat.ask(q)
        print(q, "->", await a.inner_text())
    await chat.page.keyboard.press("Control+Shift+O")
    print("title", await chat.chats.get_by_role("link").all_inner_texts())
    await chat.ask("what can you do?")
    await chat.ask("add buy oat milk tomorrow at 5pm, high priority")
    await chat.page.keyboard.press("Control+Shift+O")
    await chat.ask("remind me of the oat milk, the eggs and the bread for the weekend, and the long list of other things we talked about")
    if "phone" in how:
        await chat.button("Open chats").click()
        await chat.screenshot(f"probe-{how}-idle")
    else:
        await chat.screenshot(f"probe-{how}-idle")
    await chat.search_box.fill("milk")
    await expect(chat.results).to_be_visible()
    print(await chat.results.inner_text())
    await chat.screenshot(f"probe-{how}-found")
    await chat.search_box.fill("zebra")
    await expect(chat.chats).to_contain_text("Nothing found")
    await chat.search_box.fill("")
    await chat.search_box.fill("creme")
    await expect(chat.results).to_be_visible()
    print(await chat.results.inner_text())
    await chat.results.get_by_role("link").first.click()
    await expect(chat.questions.first).to_be_in_viewport()
    await chat.page.wait_for_timeout(500)
    await chat.screenshot(f"probe-{how}-opened")
    await chat.search_box.focus() if "phone" not in how else None
    if "phone" in how:
        await chat.button("Open chats").click()
    await chat.page.keyboard.press("Control+k")
    await chat.search_box.fill("find")
    await chat.results.get_by_role("link").last.click()
    await chat.page.wait_for_timeout(600)
    await chat.screenshot(f"probe-{how}-again")
