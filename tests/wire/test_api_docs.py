"""`/docs` and the OpenAPI document: nothing of another host, not in a frame, and off in production."""

import re

import pytest
from agents import Agent

from backchannel.testing import Say, ScriptedModel

pytestmark = pytest.mark.row("R12b")

KEY = "0123456789abcdef0123456789abcdef"
PRODUCTION = {"env": "production", "auth": "jwt", "jwt_secret": KEY, "secret_key": KEY[::-1]}


@pytest.fixture
async def agent():
    return Agent(name="A", model=ScriptedModel(Say("hello")))


async def test_the_page_loads_nothing_from_other_hosts_and_cannot_be_framed(serve, agent):
    """fastapi/fastapi#608, #4924, vllm-project/vllm#21039: the page is empty without the other host."""
    served = await serve(agent)
    page = await served.person.http.get("/docs")
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert not [link for link in links if "//" in link]
    # Nothing that the policy would block: ninoseki/eml_analyzer#382.
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=", page.text)
    for link in links:
        if not link.startswith("data:"):
            response = await served.person.http.get(f"/{link}")
            assert response.status_code == 200
            again = await served.person.http.get(
                f"/{link}", headers={"If-None-Match": response.headers["etag"]}
            )
            assert again.status_code == 304
    assert (await served.person.http.get("/docs/redoc.standalone.js")).status_code == 404
    assert (await served.person.http.get("/redoc")).status_code == 404


async def test_production_has_it_only_by_a_setting(serve, agent):
    served = await serve(agent, **PRODUCTION)
    for path in ("/docs", "/docs/start.js", "/openapi.json"):
        assert (await served.person.http.get(path)).status_code == 404
    shown = await serve(agent, **PRODUCTION, api_docs=True)
    for path in ("/docs", "/docs/start.js", "/openapi.json"):
        assert (await shown.person.http.get(path)).status_code == 200
    hidden = await serve(agent, api_docs=False)
    assert (await hidden.person.http.get("/docs")).status_code == 404


async def test_every_endpoint_documents_its_errors_in_one_form(serve, agent):
    served = await serve(agent)
    document = (await served.person.http.get("/openapi.json")).json()
    assert "HTTPValidationError" not in str(document)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if path.startswith("/api/"):
                expected = {"400", "401", "403", "422", "429", "500", "503"}
                expected |= {"404", "408", "413", "415"} if method != "get" else set()
                assert expected <= set(operation["responses"]), (method, path)
    reference = document["paths"]["/api/chatkit"]["post"]["responses"]["404"]["$ref"]
    response = document["components"]["responses"][reference.rpartition("/")[2]]
    schema = response["content"]["application/json"]["schema"]["$ref"]
    assert schema.rpartition("/")[2] in document["components"]["schemas"]
    refused = (await served.person.http.post("/api/chatkit", json={"type": "no"})).json()
    assert set(refused) <= set(document["components"]["schemas"]["Error"]["properties"])
