"""The items of a run that have begun but are not done. They are stored if the run is stopped or fails."""

from chatkit.types import (
    Annotation,
    AssistantMessageContent,
    AssistantMessageContentPartAdded,
    AssistantMessageContentPartAnnotationAdded,
    AssistantMessageContentPartDone,
    AssistantMessageContentPartTextDelta,
    AssistantMessageItem,
    GeneratedImageItem,
    GeneratedImageUpdated,
    ThreadItem,
    ThreadItemUpdatedEvent,
    WidgetItem,
    WidgetRootUpdated,
    WorkflowItem,
    WorkflowTaskAdded,
    WorkflowTaskUpdated,
)


class PartialItems:
    """Unfinished items by id, in the order in which they began."""

    def __init__(self) -> None:
        self._items: dict[str, ThreadItem] = {}
        # Deltas are joined only on read: appending to a string copies it each time.
        self._texts: dict[tuple[str, int], list[str]] = {}

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._items

    def begin(self, item: ThreadItem) -> None:
        """Add a copy of an item that has begun."""
        self._items[item.id] = item.model_copy(deep=True)

    def end(self, item_id: str) -> None:
        """Remove an item that is done, replaced or removed."""
        self._items.pop(item_id, None)
        for key in [key for key in self._texts if key[0] == item_id]:
            del self._texts[key]

    def update(self, event: ThreadItemUpdatedEvent) -> None:
        """Apply one update. An update of an unknown item is ignored."""
        update = event.update
        if isinstance(update, AssistantMessageContentPartTextDelta):
            self._texts.setdefault((event.item_id, update.content_index), []).append(update.delta)
            return
        match self._items.get(event.item_id):
            case AssistantMessageItem() as item:
                self._update_message(item, update)
            case WorkflowItem() as item:
                _update_workflow(item, update)
            case GeneratedImageItem() as item if isinstance(update, GeneratedImageUpdated):
                item.image = update.image
            case WidgetItem() as item if isinstance(update, WidgetRootUpdated):
                item.widget = update.widget
            case _:
                pass

    def items(self) -> list[ThreadItem]:
        """The unfinished items in their current state. Later updates modify them."""
        for (item_id, index), texts in self._texts.items():
            item = self._items.get(item_id)
            if isinstance(item, AssistantMessageItem):
                part = _part(item, index)
                part.text += "".join(texts)
        self._texts.clear()
        return list(self._items.values())

    def _update_message(self, item: AssistantMessageItem, update: object) -> None:
        match update:
            case AssistantMessageContentPartAdded() | AssistantMessageContentPartDone():
                self._texts.pop((item.id, update.content_index), None)
                _part(item, update.content_index)
                item.content[update.content_index] = update.content.model_copy(deep=True)
            case AssistantMessageContentPartAnnotationAdded():
                annotations: list[Annotation] = _part(item, update.content_index).annotations
                annotations.insert(update.annotation_index, update.annotation)
            case _:
                pass


def _part(item: AssistantMessageItem, index: int) -> AssistantMessageContent:
    while len(item.content) <= index:
        item.content.append(AssistantMessageContent(text=""))
    return item.content[index]


def _update_workflow(item: WorkflowItem, update: object) -> None:
    tasks = item.workflow.tasks
    match update:
        case WorkflowTaskAdded():
            tasks.append(update.task.model_copy(deep=True))
        case WorkflowTaskUpdated() if update.task_index < len(tasks):
            tasks[update.task_index] = update.task.model_copy(deep=True)
        case _:
            pass
