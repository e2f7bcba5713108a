"""The reference application: a todo assistant with agents, tools, a table and REST endpoints of its own."""

from backchannel.application import Application
from backchannel.settings import Settings
from backchannel.sql import Database
from backchannel.todo.agents import supervisor, triage
from backchannel.todo.offline import TodoOfflineModel
from backchannel.todo.rest import todo_router
from backchannel.todo.scopes import TODOS
from backchannel.todo.service import TodoService
from backchannel.todo.tables import MIGRATIONS

__all__ = ["assistant"]

SUGGESTIONS = (
    "Add buy oat milk tomorrow at 5pm, high priority",
    "What's due this week?",
    "Find milk",
    "What can you do?",
)


def assistant(settings: Settings, database: Database) -> Application:
    """The application of the todo assistant.

    Args:
        settings: `agents` selects the architecture: `triage` or `supervisor`.
        database: The database for the todos; it also has the conversations.
    """
    service = TodoService(database)
    build = supervisor if settings.agents == "supervisor" else triage
    return Application(
        agent=build(service, settings),
        routers=(todo_router(service),),
        migrations=(MIGRATIONS,),
        scopes=(TODOS,),
        suggestions=SUGGESTIONS,
        offline_model=TodoOfflineModel(),
    )
