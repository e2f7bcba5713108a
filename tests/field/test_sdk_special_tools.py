"""Tools with items of their own in the Responses API: shell, apply_patch, computer, custom, deferred, programmatic.

They run, and the model gets their outputs in the turn. What is shown and remembered of them is in
test_special_tools_seen.py, what survives in test_special_tools_survive.py.
"""

from dataclasses import dataclass
from typing import Any

import pytest
from agents import (
    Agent,
    ApplyPatchOperation,
    ApplyPatchResult,
    ApplyPatchTool,
    CodeInterpreterTool,
    ComputerTool,
    CustomTool,
    FileSearchTool,
    LocalShellCommandRequest,
    LocalShellTool,
    ProgrammaticToolCallingTool,
    ShellCommandRequest,
    ShellTool,
    ToolSearchTool,
    WebSearchTool,
    function_tool,
    tool_namespace,
)

from backchannel.testing.endpoints import Say, StrictEndpoint
from backchannel.testing.endpoints.wire import call_item, message_item
from field.odd_models import error, say, served_on, tasks, texts
from field.special_tools import CLICK, SCREEN, Screen, answer_of, computer, custom, local_shell, patch, shell

pytestmark = pytest.mark.row("B10")

type Json = dict[str, Any]


class Talk:
    """A conversation with an agent whose model calls tools by these items first.

    Attributes:
        sent: The input of the second call of the model, after the tools.
        later: The input of the next turn.
        items: The items of the thread.
    """

    sent: list[Json]
    later: list[Json]
    items: list[Json]

    async def have(self, serve: Any, stack: Any, tools: list[Any], *items: Json) -> "Talk":
        endpoint = StrictEndpoint("openai-responses", answer_of(*items), Say("done"), Say("again"))
        served = await served_on(
            serve, stack, endpoint, Agent[Any](name="A", tools=tools), model_api="responses"
        )
        thread_id, events = await served.create()
        assert error(events) is None
        assert error(await say(served, thread_id, "and?")) is None
        assert endpoint.refused == []
        self.sent, self.later = (request.body["input"] for request in endpoint.requests[1:])
        self.tools = endpoint.requests[0].body["tools"]
        self.items = await served.items(thread_id)
        assert texts(self.items) == ["hello", "done", "and?", "again"]
        return self

    def of_type(self, kind: str) -> list[Json]:
        """The items of a type that the model got after the tools."""
        return [item for item in self.sent if item.get("type") == kind]


async def test_a_shell_of_the_application(serve: Any, stack: Any) -> None:
    ran: list[list[str]] = []

    async def executor(request: ShellCommandRequest) -> str:
        ran.append(list(request.data.action.commands))
        return "a.txt"

    talk = await Talk().have(serve, stack, [ShellTool(executor=executor)], shell("ls"))
    assert ran == [["ls"]]
    [output] = talk.of_type("shell_call_output")
    assert output["output"][0]["stdout"] == "a.txt"


async def test_a_local_shell(serve: Any, stack: Any) -> None:
    ran: list[list[str]] = []

    def executor(request: LocalShellCommandRequest) -> str:
        ran.append(request.data.action.command)
        return "a.txt"

    talk = await Talk().have(serve, stack, [LocalShellTool(executor=executor)], local_shell("ls"))
    assert ran == [["ls"]]
    assert [output["output"] for output in talk.of_type("local_shell_call_output")] == ["a.txt"]


async def test_a_patch(serve: Any, stack: Any) -> None:
    made: list[str | None] = []

    class Editor:
        def create_file(self, operation: ApplyPatchOperation) -> ApplyPatchResult:
            made.append(operation.diff)
            return ApplyPatchResult(status="completed", output=f"made {operation.path}")

        def update_file(self, operation: ApplyPatchOperation) -> ApplyPatchResult:
            raise AssertionError

        def delete_file(self, operation: ApplyPatchOperation) -> ApplyPatchResult:
            raise AssertionError

    talk = await Talk().have(
        serve, stack, [ApplyPatchTool(editor=Editor())], patch("create_file", "a.txt", "+hi\n")
    )
    assert made == ["+hi\n"]
    assert [output["output"] for output in talk.of_type("apply_patch_call_output")] == ["made a.txt"]


async def test_a_custom_tool(serve: Any, stack: Any) -> None:
    ran: list[str] = []

    async def invoke(_context: Any, text: str) -> str:
        ran.append(text)
        return "42"

    tool = CustomTool(name="calc", description="Calculate.", on_invoke_tool=invoke)
    talk = await Talk().have(serve, stack, [tool], custom("6*7"))
    assert ran == ["6*7"]
    assert [output["output"] for output in talk.of_type("custom_tool_call_output")] == ["42"]
    # Later turns have it as a call of a function: the input is an object there.
    [call] = [item for item in talk.later if item.get("type") == "function_call"]
    assert (call["name"], "6*7" in call["arguments"]) == ("calc", True)
    assert [item["output"] for item in talk.later if item.get("type") == "function_call_output"] == ["42"]


async def test_a_computer(serve: Any, stack: Any) -> None:
    done: list[str] = []
    # The older form, with one action.
    call = {key: value for key, value in computer().items() if key != "actions"} | {"action": CLICK}
    talk = await Talk().have(serve, stack, [ComputerTool(Screen(done))], call)
    assert done == ["click 1 2"]
    [output] = talk.of_type("computer_call_output")
    assert output["output"]["image_url"] == f"data:image/png;base64,{SCREEN}"


async def test_tools_in_a_namespace_that_the_model_searches(serve: Any, stack: Any) -> None:
    @function_tool(defer_loading=True)
    def get_order(number: str) -> str:
        """Get an order."""
        return f"order {number}"

    tools = [*tool_namespace(name="crm", description="Customers.", tools=[get_order]), ToolSearchTool()]
    call = {**call_item("get_order", '{"number": "7"}', "call_1"), "namespace": "crm"}
    talk = await Talk().have(serve, stack, tools, call)
    [namespace, search] = talk.tools
    assert (namespace["name"], namespace["tools"][0]["defer_loading"]) == ("crm", True)
    assert search["type"] == "tool_search"
    assert [item["namespace"] for item in talk.of_type("function_call")] == ["crm"]
    assert [item["output"] for item in talk.of_type("function_call_output")] == ["order 7"]
    assert tasks(talk.items) == [("Get order", "complete", "number: 7")]
    assert [item["name"] for item in talk.later if item.get("type") == "function_call"] == ["get_order"]


@dataclass
class Order:
    """What a program gets."""

    number: str


async def test_tools_that_a_program_of_the_model_calls(serve: Any, stack: Any) -> None:
    @function_tool(allowed_callers=["programmatic"], output_type=Order)
    def get_order(number: str) -> Order:
        """Get an order."""
        return Order(number)

    program = {
        "type": "program",
        "id": "prog_1",
        "call_id": "call_p",
        "code": "get_order('7')",
        "fingerprint": "f",
    }
    caller = {"type": "program", "caller_id": "call_p"}
    call = {**call_item("get_order", '{"number": "7"}', "call_1"), "caller": caller}
    talk = await Talk().have(serve, stack, [get_order, ProgrammaticToolCallingTool()], program, call)
    assert talk.tools[0]["allowed_callers"] == ["programmatic"]
    assert [item["code"] for item in talk.of_type("program")] == ["get_order('7')"]
    [output] = talk.of_type("function_call_output")
    assert (output["output"], output["caller"]) == ('{"number":"7"}', caller)
    assert tasks(talk.items) == [("Get order", "complete", "number: 7")]


async def test_hosted_tools_reach_the_endpoint(serve: Any, stack: Any) -> None:
    tools = [
        WebSearchTool(search_context_size="low"),
        FileSearchTool(vector_store_ids=["vs_1"], max_num_results=3),
        CodeInterpreterTool(tool_config={"type": "code_interpreter", "container": {"type": "auto"}}),
        ShellTool(environment={"type": "container_auto"}),
    ]
    search = {
        "type": "web_search_call",
        "id": "ws_1",
        "status": "completed",
        "action": {"type": "search", "query": "x"},
    }
    message = message_item("Found it.", "msg_1")
    endpoint = StrictEndpoint("openai-responses", answer_of(search, message))
    served = await served_on(serve, stack, endpoint, Agent[Any](name="A", tools=tools), model_api="responses")
    thread_id, events = await served.create()
    assert error(events) is None
    assert texts(await served.items(thread_id)) == ["hello", "Found it."]
    sent = endpoint.requests[0].body["tools"]
    assert [tool["type"] for tool in sent] == ["web_search", "file_search", "code_interpreter", "shell"]
    assert (sent[0]["search_context_size"], sent[1]["vector_store_ids"]) == ("low", ["vs_1"])
