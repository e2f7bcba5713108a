"""The function calls of a response as they are streamed, for servers whose completed response lacks them."""

from typing import Any, cast

from openai.types.responses import ResponseFunctionToolCall


class PartialCalls:
    """The calls so far, in the order in which they began."""

    def __init__(self) -> None:
        self._calls: list[tuple[object, ResponseFunctionToolCall]] = []

    def __bool__(self) -> bool:
        return bool(self._calls)

    def begin(self, item: Any, output_index: int | None) -> None:
        """A call begins. Its arguments follow, or are complete already."""
        self._calls.append((_key(output_index, getattr(item, "id", None)), item.model_copy()))

    def arguments(self, event: Any) -> None:
        """A delta of arguments, or all of them. Ignored without a call that began."""
        call = self._find(event.output_index, event.item_id)
        if call is None:
            return
        if event.type.endswith(".done"):
            call.arguments = getattr(event, "arguments", None) or call.arguments
        else:
            call.arguments = (getattr(call, "arguments", None) or "") + (event.delta or "")

    def done(self, item: Any, output_index: int | None) -> None:
        """A call is complete."""
        call = self._find(output_index, getattr(item, "id", None))
        if call is None:
            self.begin(item, output_index)
            return
        for name, value in cast("dict[str, Any]", dict(item)).items():
            if value is not None and value != "":
                setattr(call, name, value)

    def all(self) -> list[ResponseFunctionToolCall]:
        """The calls, in order."""
        return [call for _, call in self._calls]

    def _find(self, output_index: int | None, item_id: str | None) -> ResponseFunctionToolCall | None:
        key = _key(output_index, item_id)
        return next((call for known, call in reversed(self._calls) if known == key), None)


def _key(output_index: int | None, item_id: str | None) -> object:
    return output_index if output_index is not None else item_id
