"""An agent with a shell, a patch editor, a computer and a custom tool, whose model calls them by a script."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

from agents import (
    Agent,
    ApplyPatchOperation,
    ApplyPatchResult,
    ApplyPatchTool,
    AsyncComputer,
    ComputerTool,
    CustomTool,
    LocalShellCommandRequest,
    LocalShellTool,
    ShellCallOutcome,
    ShellCommandOutput,
    ShellCommandRequest,
    ShellResult,
    ShellTool,
)

from backchannel.testing.endpoints import Reply, StrictEndpoint
from backchannel.testing.endpoints.unstream import unstreamed
from backchannel.testing.endpoints.wire import ResponsesStream
from field.odd_models import served_on

type Json = dict[str, Any]

SCREEN = "iVBORw0KGgo" * 20


def shell(*commands: str, call_id: str = "call_1") -> Json:
    action = {"commands": commands, "timeout_ms": None, "max_output_length": None}
    return {
        "type": "shell_call",
        "id": f"sh_{call_id}",
        "call_id": call_id,
        "status": "completed",
        "action": action,
    }


def local_shell(*command: str) -> Json:
    action = {"type": "exec", "command": command, "env": {}}
    return {
        "type": "local_shell_call",
        "id": "lsh_1",
        "call_id": "call_1",
        "status": "completed",
        "action": action,
    }


def patch(kind: str = "create_file", path: str = "a.txt", diff: str = "+hi\n") -> Json:
    operation = {"type": kind, "path": path, "diff": diff}
    return {
        "type": "apply_patch_call", "id": "apc_1", "call_id": "call_1", "status": "completed", "operation": operation
    }  # fmt: skip


def custom(text: str) -> Json:
    return {"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_1", "name": "calc", "input": text}


def computer(*actions: Json, checks: tuple[Json, ...] = ()) -> Json:
    return {
        "type": "computer_call", "id": "cu_1", "call_id": "call_1", "status": "completed",
        "pending_safety_checks": list(checks), "actions": list(actions),
    }  # fmt: skip


CLICK = {"type": "click", "x": 1, "y": 2, "button": "left"}


def answer_of(*items: Json, stream: bool = True) -> Reply:
    """An answer of the Responses API with these items."""
    return _answer(items) if stream else unstreamed(_answer(items), "responses")


def _answer(items: tuple[Json, ...]) -> Reply:
    stream = ResponsesStream("m")
    parts = stream.created()
    for index, item in enumerate(items):
        parts += [stream.added({**item, "status": "in_progress"}, index), stream.done(item, index)]
    return Reply([*parts, stream.completed(items)])


class Screen(AsyncComputer):
    """A screen that records what is done; it fails if somebody types "fail"."""

    environment = "browser"
    dimensions = (10, 10)

    def __init__(self, done: list[str]) -> None:
        self.done = done

    async def screenshot(self) -> str:
        return SCREEN

    async def click(self, x: int, y: int, button: Any, **_: Any) -> None:
        self.done.append(f"click {x} {y}")

    async def type(self, text: str) -> None:
        if text == "fail":
            raise OSError("no display")
        self.done.append(f"type {text}")

    async def double_click(self, x: int, y: int, **_: Any) -> None: ...
    async def scroll(self, x: int, y: int, scroll_x: int, scroll_y: int, **_: Any) -> None: ...
    async def wait(self) -> None: ...
    async def move(self, x: int, y: int, **_: Any) -> None: ...
    async def keypress(self, keys: list[str], **_: Any) -> None: ...
    async def drag(self, path: list[tuple[int, int]], **_: Any) -> None: ...


class Workshop:
    """An agent with all of these tools, on a strict endpoint, and a person who talks with it.

    Attributes:
        done: What the tools did.
        before: Is called before a shell runs a command.
    """

    def __init__(self, serve: Any, stack: AsyncExitStack) -> None:
        self.done: list[str] = []
        self.endpoint = StrictEndpoint("openai-responses")
        self.before: Callable[[], Any] = lambda: None
        self._serve = serve
        self._stack = stack

    def tools(self, **options: Any) -> list[Any]:
        """The tools; `options` are those of tools that can need approval."""
        return [
            ShellTool(executor=self._run, **options),
            ApplyPatchTool(editor=self, **options),
            CustomTool(name="calc", description="Calculate.", on_invoke_tool=self._calculate, **options),
            ComputerTool(Screen(self.done)),
        ]

    def agent(self, *tools: Any, **options: Any) -> Agent[Any]:
        return Agent[Any](name="Smith", tools=list(tools) or self.tools(**options))

    async def start(self, agent: Any = None, **settings: Any) -> "Workshop":
        settings = {"model_api": "responses", **settings}
        self.served = await served_on(
            self._serve, self._stack, self.endpoint, agent or self.agent(), **settings
        )
        return self

    async def restart(self, agent: Agent[Any] | None = None, **settings: Any) -> None:
        """Another replica, with an agent of its own. The person goes on there."""
        cookies = self.served.person.http.cookies
        await self.start(agent, **settings)
        self.served.person.http.cookies = cookies

    def inputs(self) -> list[Json]:
        """The items of the newest input of the model."""
        return self.endpoint.requests[-1].body["input"]

    def calls(self) -> list[tuple[str, str]]:
        """The names and arguments of functions in the newest input of the model."""
        return [
            (each["name"], each["arguments"]) for each in self.inputs() if each.get("type") == "function_call"
        ]

    def outputs(self) -> list[Any]:
        """The outputs of tools of any kind in the newest input of the model."""
        return [each["output"] for each in self.inputs() if str(each.get("type")).endswith("_output")]

    async def _run(self, request: ShellCommandRequest) -> ShellResult | str:
        await self._maybe_wait()
        commands = request.data.action.commands
        self.done += commands
        if commands == ["explode"]:
            raise OSError("no shell")
        outputs = {"ls nope": ("", "No such file", 2), "sleep 99": ("", "", None)}
        results: list[ShellCommandOutput] = []
        for command in commands:
            out, err, code = outputs.get(command, (f"ran {command}", "", 0))
            outcome = ShellCallOutcome("timeout") if code is None else ShellCallOutcome("exit", code)
            results.append(ShellCommandOutput(out, err, outcome, command=command))
        return ShellResult(results)

    async def _maybe_wait(self) -> None:
        waiting = self.before()
        if waiting is not None:
            await waiting

    async def _calculate(self, _context: Any, text: str) -> str:
        self.done.append(text)
        if text == "1/0":
            raise ZeroDivisionError("division by zero")
        return str(eval(text))

    def create_file(self, operation: ApplyPatchOperation) -> ApplyPatchResult:
        self.done.append(f"create {operation.path}")
        return ApplyPatchResult(status="completed", output=f"made {operation.path}")

    def update_file(self, operation: ApplyPatchOperation) -> ApplyPatchResult:
        return ApplyPatchResult(status="failed", output="no such lines")

    def delete_file(self, operation: ApplyPatchOperation) -> None:
        raise PermissionError(operation.path)


def local_shell_of(workshop: Workshop) -> LocalShellTool:
    """The older kind of shell, which has one command."""

    def run(request: LocalShellCommandRequest) -> str:
        command = list(request.data.action.command)
        workshop.done.append(" ".join(command))
        if command == ["explode"]:
            raise OSError("no shell")
        return "a.txt"

    return LocalShellTool(executor=run)
