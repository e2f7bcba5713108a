"""Every endpoint of the OpenAPI document gets what Schemathesis makes of it: right and wrong values, as somebody with data
of one's own, as somebody who asks for the data of another person, and without credentials.

zenml-io/kitaru#927: NUL in any text was a 500. wemake-services/django-modern-rest#1135: so was a body that is no UTF-8.
"""

import json
import re
import time
from collections.abc import Generator, Iterator
from typing import Any
from urllib.parse import quote

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.generation import GenerationMode

from backchannel.testing import user_message
from backchannel.todo.tables import MIGRATIONS as TODO
from browser.own_server import Server
from databases import KINDS, database_with_tables
from faults.cluster import SECRET, token_of

pytestmark = [
    pytest.mark.row("R9", "D5", "R12b"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning"),
]

EXAMPLES = 12
"""Of each endpoint and kind of values."""
READ_BYTES = 100_000
READ_SECONDS = 5
MARK = "aardvark"
"""In everything that Alice has."""
IDS = {"thread_id", "item_id", "after", "id", "run_id", "todo_id", "client_tool_call_id"}


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    folder = tmp_path_factory.mktemp("fuzz")
    options = {"auth": "jwt", "jwt_secret": SECRET, "heartbeat_seconds": "0.2"}
    with (
        database_with_tables(request.param, folder, TODO) as url,
        Server(folder, database_url=url, **options) as server,
    ):
        yield server


class Person:
    """Somebody with a thread, a run and a todo.

    Attributes:
        ids: By the names of parameters.
    """

    def __init__(self, url: str, name: str, mark: str) -> None:
        self.url, self.http = url, requests.Session()
        self.http.headers["Authorization"] = f"Bearer {token_of(name)}"
        todo = self.post("/api/todos", {"title": f"{mark} todo"}).json()
        request = {"type": "threads.create", "params": {"input": user_message(f"What can the {mark} do?")}}
        answered = self.post("/api/chatkit", request)
        thread_id = next(
            json.loads(line[6:])["thread"]["id"]
            for line in answered.text.splitlines()
            if "thread.created" in line
        )
        items = self.get(f"/api/chatkit/threads/{thread_id}/items")["data"]
        self.ids = {
            "todo_id": todo["id"],
            "thread_id": thread_id,
            "item_id": items[0]["id"],
            "run_id": answered.headers["X-Run-Id"],
        }

    def post(self, path: str, body: Any) -> requests.Response:
        response = self.http.post(self.url + path, json=body, timeout=20)
        assert response.ok, response.text
        return response

    def get(self, path: str) -> Any:
        response = self.http.get(self.url + path, timeout=20)
        assert response.ok, response.text
        return response.json()

    def everything(self) -> Any:
        thread = f"/api/chatkit/threads/{self.ids['thread_id']}"
        paths = ["/api/todos", "/api/chatkit/threads", thread, f"{thread}/items", f"{thread}/feedback"]
        return [self.get(path) for path in paths]


@pytest.fixture(scope="module")
def alice(server: Server) -> Person:
    return Person(server.url, "alice", MARK)


@pytest.fixture(scope="module")
def carol(server: Server) -> Person:
    return Person(server.url, "carol", "badger")


def put_ids(value: Any, ids: dict[str, str]) -> Any:
    """A body in which ids are those of somebody."""
    if isinstance(value, dict):
        return {
            key: ids.get(key, ids["item_id"]) if key in IDS and isinstance(each, str) else put_ids(each, ids)
            for key, each in value.items()
        }
    return [put_ids(each, ids) for each in value] if isinstance(value, list) else value


def send(case: Any, url: str, token: str | None) -> tuple[int, bytes]:
    """The status, and the beginning of the response: streams may last."""
    arguments = case.as_transport_kwargs(base_url=url)
    headers = {
        name: value for name, value in arguments.pop("headers").items() if name.lower() != "authorization"
    }
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    arguments.pop("cookies", None)
    with requests.request(**arguments, headers=headers, stream=True, timeout=READ_SECONDS) as response:
        end, content = time.monotonic() + READ_SECONDS, b""
        for chunk in response.iter_content(16_384):
            content += chunk
            if len(content) > READ_BYTES or time.monotonic() > end:
                break
        return response.status_code, content


type Actor = tuple[str, str | None, dict[str, str]]
"""A name, a token and the ids to ask for."""


def faults_of(
    operation: Any, mode: GenerationMode, responses: Any, url: str, people: list[Actor]
) -> list[Any]:
    """What is wrong with the responses of an endpoint, one of each kind."""
    found: dict[Any, Any] = {}

    @settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(
        case=operation.as_strategy(generation_mode=mode), person=st.sampled_from(people), real=st.booleans()
    )
    def check(case: Any, person: Actor, real: bool) -> None:
        name, token, ids = person
        if real:
            parameters = case.path_parameters or {}
            case.path_parameters = {key: ids.get(key, each) for key, each in parameters.items()}
            case.body = put_ids(case.body, ids)
        status, content = send(case, url, token)
        faults = {
            "fails": status >= 500,
            "is not documented": str(status) not in responses and status != 405,
            "shows somebody else's data": MARK.encode() in content,
            "answers a stranger": token is None and status < 400 and operation.path.startswith("/api"),
        }
        for fault, holds in faults.items():
            if holds:
                found[fault, status] = (operation.method, operation.path, name, status, fault, content[:300])

    try:
        check()
    except Unsatisfiable:
        # Of some endpoints no wrong value can be made: every text is right.
        assert mode is GenerationMode.NEGATIVE, operation.path
    return list(found.values())


# The strictest of the databases.
@pytest.mark.parametrize("server", ["postgresql"], indirect=True)
def test_no_endpoint_fails_or_shows_what_belongs_to_somebody_else(
    server: Server, alice: Person, carol: Person
):
    document = requests.get(f"{server.url}/openapi.json", timeout=20).json()
    before = alice.everything()
    assert MARK in json.dumps(before)
    people: list[Actor] = [
        ("bob", token_of("bob"), alice.ids),
        ("carol", token_of("carol"), carol.ids),
        ("stranger", None, alice.ids),
    ]
    operations = [result.ok() for result in schemathesis.openapi.from_dict(document).get_all_operations()]
    assert len(operations) > 20
    faults = [
        fault
        for operation in operations
        for mode in GenerationMode
        for fault in faults_of(
            operation,
            mode,
            document["paths"][operation.path][operation.method]["responses"],
            server.url,
            people,
        )
    ]
    assert faults == []
    assert alice.everything() == before


ODD = [
    "x" * 300,
    "x" * 5000,
    "é" * 255,
    "\U0001f600" * 300,
    "a\x00b",
    "\x00",
    "\x7f\x01",
    "\u202e\u200b",
    " ",
    "..",
    "%",
    "%00",
    "%ff",
    "'; DROP TABLE runs; --",
    "9999999999999999999",
    "-1",
    "1e400",
    "NaN",
    "null",
    "\ud800",
]
"""Values for every parameter and every text: some are longer than their column, or none that a database takes."""

BODIES = [
    b"",
    b"null",
    b"[]",
    b'"x"',
    b"1e999",
    b"NaN",
    b"9" * 5000,
    b"{" + b'"a":' * 1,
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b"\xff\xfe{}",
    b"\xef\xbb\xbf{}",
    b'{"a": "\\ud800"}',
    b'{"a": "\x00"}',
    b'{"a": "\\u0000"}',
    b'{"a": 1' + b"0" * 5000 + b"}",
    b'{"title": "a", "title": "b"}',
    b'{"type": "threads.list", "type": "threads.delete", "params": {}}',
    b'{"__proto__": {}, "constructor": {}}',
]


def texts_in(schema: Any, document: Any, depth: int = 0) -> Any:
    """A body whose every text is `None`, to be filled in."""
    if "$ref" in schema:
        found: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        return texts_in(found, document, depth + 1) if depth < 8 else None
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in schema:
            return texts_in(schema[choice][0], document, depth + 1)
    match schema.get("type"):
        case "object":
            return {
                name: texts_in(each, document, depth + 1)
                for name, each in schema.get("properties", {}).items()
            }
        case "array":
            return [texts_in(schema.get("items", {}), document, depth + 1)]
        case "integer" | "number":
            return 1
        case "boolean":
            return True
        case _:
            return schema.get("const") or schema.get("enum", [None])[0]


def filled(value: Any, text: str) -> Any:
    match value:
        case None:
            return text
        case dict():
            return {name: filled(each, text) for name, each in value.items()}
        case list():
            return [filled(each, text) for each in value]
        case _:
            return value


def odd_requests(document: Any, ids: dict[str, str]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Requests, each with one odd value: a method, the template of its path, and arguments of `requests`."""
    for template, operations in document["paths"].items():
        for method, operation in operations.items():
            parameters = operation.get("parameters", [])
            path = template.format_map({name: ids.get(name, "x") for name in PARAMETER.findall(template)})
            for parameter in parameters:
                for text in ODD:
                    odd = text.encode("utf-8", "surrogatepass")
                    match parameter["in"]:
                        case "path":
                            names = {name: ids.get(name, "x") for name in PARAMETER.findall(template)}
                            at = template.format_map(names | {parameter["name"]: quote(odd, safe="")})
                            yield method, template, {"path": at}
                        case "query":
                            yield (
                                method,
                                template,
                                {"path": f"{path}?{parameter['name']}={quote(odd, safe='')}"},
                            )
                        case _ if not set(odd) & set(b"\x00\x01\x7f") and odd == odd.strip():
                            yield method, template, {"path": path, "headers": {parameter["name"]: odd}}
            if "requestBody" not in operation:
                continue
            for body in BODIES:
                yield method, template, {"path": path, "data": body}
            content = operation["requestBody"]["content"]
            if "application/json" not in content:
                # Uploads.
                continue
            schema = content["application/json"]["schema"]
            for text in ODD:
                body = json.dumps(filled(texts_in(schema, document), text))
                yield method, template, {"path": path, "data": body}
                if template == "/api/chatkit":
                    for request in of_the_protocol(text):
                        yield method, template, {"path": path, "data": json.dumps(request)}


def of_the_protocol(text: str) -> Iterator[dict[str, Any]]:
    """Operations of ChatKit with an odd text in every place."""
    for kind in ("threads.get_by_id", "threads.delete", "threads.update", "items.list", "threads.list"):
        yield {"type": kind, "params": {"thread_id": text, "title": text, "after": text}}
    message = user_message(text)
    yield {"type": "threads.create", "params": {"input": message}, "metadata": {text: text}}
    yield {"type": "threads.add_user_message", "params": {"thread_id": text, "input": message}}
    odd = message | {"quoted_text": text, "attachments": [text], "inference_options": {"model": text}}
    yield {"type": "threads.create", "params": {"input": odd}}
    feedback = {"thread_id": text, "item_ids": [text], "kind": "positive"}
    yield {"type": "items.feedback", "params": feedback}


PARAMETER = re.compile(r"\{(\w+)\}")


def test_odd_values_in_every_place_are_refused_or_taken(server: Server, carol: Person):
    document = requests.get(f"{server.url}/openapi.json", timeout=20).json()
    session = requests.Session()
    session.headers.update(
        {"Authorization": f"Bearer {token_of('carol')}", "Content-Type": "application/json"}
    )
    faults: dict[Any, Any] = {}
    sent = 0
    for method, template, arguments in odd_requests(document, carol.ids):
        # As it is: the library would take some paths apart.
        url = server.url + arguments.pop("path")
        responses = document["paths"][template][method]["responses"]
        with session.request(method, url, stream=True, timeout=READ_SECONDS, **arguments) as response:
            content = next(response.iter_content(2000), b"")
        sent += 1
        if response.status_code >= 500 or (
            str(response.status_code) not in responses and response.status_code != 405
        ):
            faults[method, template, response.status_code] = (arguments, url, content[:200])
    assert sent > 1000
    assert faults == {}
