"""What docs/howto/authenticate-callers.md promises (H14)."""

import pytest

from backchannel.testing import ServerError

pytestmark = pytest.mark.row("H14")


@pytest.fixture
async def served(write_page, serve):
    write_page("authenticate-callers.md")
    return await serve("header_auth:app")


async def someone(served, key):
    person = await served.someone()
    person.http.headers["X-API-Key"] = key
    return person


async def test_a_valid_key_is_admitted_and_decides_whose_threads_are_seen(served):
    ada, bob = await someone(served, "key-of-ada"), await someone(served, "key-of-bob")
    await (await ada.say("hello")).events()
    assert len((await ada.request("threads.list", {}))["data"]) == 1
    assert (await bob.request("threads.list", {}))["data"] == []


async def test_an_invalid_key_is_refused(served):
    person = await someone(served, "key-of-nobody")
    with pytest.raises(ServerError, match="The API key is not valid") as refused:
        await person.request("threads.list", {})
    assert (refused.value.status, refused.value.code) == (401, "unauthenticated")


async def test_no_key_is_refused_and_no_cookie_is_set(served):
    with pytest.raises(ServerError) as refused:
        await served.person.request("threads.list", {})
    assert refused.value.status == 401
    assert not served.person.http.cookies


async def test_production_is_served_with_the_setting_that_names_the_application(write_page, serve):
    write_page("authenticate-callers.md")
    served = await serve(
        "header_auth:app", env="production", auth=("application",), secret_key="s" * 32, model="offline"
    )
    with pytest.raises(ServerError) as refused:
        await served.person.request("threads.list", {})
    assert refused.value.status == 401
    assert (await (await someone(served, "key-of-ada")).request("threads.list", {}))["data"] == []
