"""What docs/howto/store-attachments.md promises (H14)."""

import importlib

import pytest

from backchannel.testing import Say, ScriptedModel, ServerError, user_message

pytestmark = pytest.mark.row("H14")

FILE = {"name": "plan.txt", "size": 5, "mime_type": "text/plain"}


@pytest.fixture
async def served(write_page, serve):
    write_page("store-attachments.md")
    return await serve("memory_files:app")


async def upload(served, data=b"plans"):
    attachment = await served.person.request("attachments.create", FILE)
    descriptor = attachment["upload_descriptor"]
    sent = await served.person.http.request(descriptor["method"], descriptor["url"], content=data)
    assert sent.status_code == 204, sent.text
    return attachment


async def send(person, attachment_id):
    message = {**user_message("read it"), "attachments": [attachment_id]}
    return await (await person.stream("threads.create", {"input": message})).events()


async def test_an_attachment_is_uploaded_and_reaches_the_message(served):
    attachment = await upload(served)
    events = await send(served.person, attachment["id"])
    thread_id = events[0]["thread"]["id"]
    (message, *_) = await served.items(thread_id)
    assert [(each["id"], each["name"]) for each in message["attachments"]] == [(attachment["id"], "plan.txt")]
    assert message["attachments"][0]["thread_id"] == thread_id


async def test_somebody_else_can_neither_write_nor_send_nor_delete_it(served):
    attachment = await upload(served)
    other = await served.someone()
    response = await other.http.put(attachment["upload_descriptor"]["url"], content=b"other")
    assert response.status_code == 404
    with pytest.raises(ServerError) as refused:
        await send(other, attachment["id"])
    assert refused.value.status == 404
    with pytest.raises(ServerError) as refused:
        await other.request("attachments.delete", {"attachment_id": attachment["id"]})
    assert refused.value.status == 404


async def test_a_deleted_attachment_is_gone(served):
    attachment = await upload(served)
    await served.person.request("attachments.delete", {"attachment_id": attachment["id"]})
    again = await served.person.http.put(attachment["upload_descriptor"]["url"], content=b"x")
    assert again.status_code == 404
    with pytest.raises(ServerError) as refused:
        await send(served.person, attachment["id"])
    assert refused.value.status == 404


async def test_the_converter_shows_the_file_to_the_model(write_page, folder, serve):
    write_page("store-attachments.md")
    model = ScriptedModel(Say("I read it."))
    importlib.import_module("reading_files").app.agent.model = model
    served = await serve("reading_files:app")
    attachment = await upload(served)
    await send(served.person, attachment["id"])
    assert "plan.txt:\\nplans" in str(model.calls[0])
