"""The command line. Each command is in a module of its own, which is imported when the command is called."""

import sys
from importlib.metadata import version

from cyclopts import App

from backchannel.errors import ConfigurationError

app = App(
    name="backchannel",
    help="Turn an OpenAI Agents SDK agent into a production chat backend for ChatKit.",
    version=version("backchannel"),
)
app.command("backchannel.cli.serve:serve", help="Serve an agent with a chat page.")
app.command("backchannel.cli.chat:chat", help="Talk to a running server from the terminal.")
app.command("backchannel.cli.db:app", name="db", help="Show and change the schema version of the database.")
app.command("backchannel.cli.user:app", name="user", help="Add, list, change and delete local users.")
app.command("backchannel.cli.token:token", help="Make a personal token for a user's scripts.")
app.command("backchannel.cli.audit:audit", help="Show the audit log.")
app.command(
    "backchannel.cli.doctor:doctor", help="Report what is wrong with the settings and what the server needs."
)
app.command("backchannel.cli.export:export", help="Export all stored data of a person to a zip file.")
app.command("backchannel.cli.erase:erase", help="Delete all stored data of a person.")


def main() -> None:
    """Run a command. Invalid configuration is reported in one line on standard error, with exit code 2."""
    try:
        app(sys.argv[1:])
    except ConfigurationError as error:
        print(f"backchannel: {error.message}", file=sys.stderr)
        sys.exit(2)
