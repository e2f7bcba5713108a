"""`OpenAI-Domain-Key`, which OpenAI's ChatKit element sends, does not authenticate."""

import pytest
from agents import Agent

from backchannel.testing import ScriptedModel

SECRET = "0123456789abcdef0123456789abcdef"


@pytest.mark.row("P28")
async def test_the_domain_key_is_not_a_credential(serve):
    served = await serve(Agent(name="A", model=ScriptedModel()), auth="jwt", jwt_secret=SECRET)
    request = {"type": "threads.list", "params": {}}
    for key in ("local", SECRET):
        response = await served.person.http.post(
            "/api/chatkit", json=request, headers={"OpenAI-Domain-Key": key}
        )
        assert (response.status_code, response.json()["code"]) == (401, "unauthenticated")
