"""What is written of the plain API is what it does: OpenAPI and docs/reference/plain-api.md (C2, H5)."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from agents import Agent
from fastapi.openapi.models import OpenAPI
from jsonschema import Draft202012Validator

from backchannel.plain import DELTAS, EVENTS
from backchannel.testing import ScriptedModel
from backchannel.todo import assistant
from programs import PATH, ask, message, read, said, types, words

pytestmark = pytest.mark.row("C2", "H5")

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "plain-api.md"


@pytest.fixture
async def openapi(serve) -> dict[str, Any]:
    served = await serve(Agent(name="A", model=ScriptedModel()))
    return (await served.person.http.get("/openapi.json")).json()


async def test_openapi_is_valid_and_says_it_all(openapi):
    OpenAPI.model_validate(openapi)
    for schema in openapi["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    for reference in re.findall(r'"\$ref": "([^"]+)"', json.dumps(openapi)):
        found: Any = openapi
        for name in reference.removeprefix("#/").split("/"):
            found = found[name]
    operation = openapi["paths"][PATH]["post"]
    answer = operation["responses"]["200"]
    assert set(answer["content"]) == {"text/event-stream"}
    assert set(answer["headers"]) == {"X-Run-Id", "X-Heartbeat-Seconds"}
    for name in (*EVENTS, *DELTAS):
        assert f"`{name}`" in answer["description"]
    example = await read(answer["content"]["text/event-stream"]["example"].encode())
    assert [json.loads(data)["type"] for _, _, data in example] == [kind for _, kind, _ in example]
    assert {kind for _, kind, _ in example} <= set(EVENTS)
    headers = {parameter["name"] for parameter in operation["parameters"]}
    assert {"Idempotency-Key", "Last-Event-ID"} <= headers
    events = openapi["paths"]["/api/chatkit/runs/{run_id}/events"]["get"]
    [choice] = [each for each in events["parameters"] if each["name"] == "format"]
    assert choice["schema"]["enum"] == ["chatkit", "plain"]
    assert "text/event-stream" in events["responses"]["200"]["content"]


async def test_openapi_lets_in_what_the_server_does(openapi):
    [schema] = [openapi["paths"][PATH]["post"]["requestBody"]["content"]["application/json"]["schema"]]
    validator = Draft202012Validator({**schema, "components": openapi["components"]})
    examples = openapi["components"]["schemas"]["StreamRequest"]["examples"]
    assert examples
    for good in (*examples, message(), message(id="thr_1", metadata={"a": 1}), {**message(), "thread": None}):
        assert list(validator.iter_errors(good)) == []
    for bad in ({}, said(content=[]), said(type="x"), {**message(), "model": "x"}, message(id="")):
        assert list(validator.iter_errors(bad))


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


async def test_the_example_of_the_documentation_is_what_happens(serve):
    page = PAGE.read_text(encoding="utf-8")
    [command] = [block for block in blocks(page, "console") if "--json" in block]
    [sent] = re.findall(r"--json '(.*?)'", command, re.DOTALL)
    [example] = blocks(page, "text")
    documented = [(event_id, json.loads(data)) for event_id, _, data in await read(example.encode())]
    served = await serve(assistant)
    _, told = await ask(served.person, json.loads(sent))
    assert types(told) == types(documented)
    for kind in {data["type"] for _, data in documented}:
        shapes = [
            sorted({tuple(data) for _, data in each if data["type"] == kind}) for each in (told, documented)
        ]
        assert shapes[0] == shapes[1], kind
    assert words(told) == words(documented)


def test_the_documentation_has_the_whole_vocabulary():
    page = PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z_.]+)` \| ([^|]*) \|", page, re.MULTILINE)
    for vocabulary in (EVENTS, DELTAS):
        documented = {
            name: re.findall(r"`(\w+)`(?!\?)", columns) for name, columns in rows if name in vocabulary
        }
        assert list(documented) == list(vocabulary)
        for name, described in vocabulary.items():
            known = re.sub(r"\([^)]*\)", "", described.partition(":")[0])
            assert documented[name] == re.findall(r"`(\w+)`", known), name
