"""The command line. Each command is a module of its own, loaded when it is called."""

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
app.command("backchannel.cli.db:app", name="db", help="See and change the version of the database's tables.")
app.command(
    "backchannel.cli.export:export", help="Write everything that is kept of a person into a zip file."
)
app.command("backchannel.cli.erase:erase", help="Delete everything that is kept of a person.")


def main() -> None:
    """Run a command. Wrong configuration ends it with exit code 2 and one line that names the setting."""
    try:
        app(sys.argv[1:])
    except ConfigurationError as error:
        print(f"backchannel: {error.message}", file=sys.stderr)
        sys.exit(2)
