"""`python -m backchannel`."""

import sys
from pathlib import Path

# Python puts the working directory first, and a file there may have the name of a library. Targets are looked up there
# all the same (`targets.load_target`).
if not sys.flags.safe_path and sys.path[:1] in ([""], [str(Path.cwd())]):
    del sys.path[0]

from backchannel.cli import main

main()
