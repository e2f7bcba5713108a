"""Of several processes that start together, one makes the key that signs cookies."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from backchannel.settings import DATA_FOLDER

pytestmark = pytest.mark.row("F3", "F7")

PROCESSES = 8

# Forked after the imports, which would take most of the time, and let loose together.
STARTING_TOGETHER = """
import os, sys
from backchannel.settings import Settings

settings = Settings.load()
waiting, go = os.pipe()
for _ in range(int(sys.argv[1])):
    if os.fork() == 0:
        os.close(go)
        os.read(waiting, 1)
        os.write(1, settings.signing_key() + b"\\n")
        os._exit(0)
os.close(go)
while True:
    try:
        os.wait()
    except ChildProcessError:
        break
"""


def test_of_several_processes_starting_together_one_makes_it(tmp_path: Path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BACKCHANNEL_")}
    command = [sys.executable, "-c", STARTING_TOGETHER, str(PROCESSES)]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    keys = done.stdout.split()
    assert len(keys) == PROCESSES
    assert len(set(keys)) == 1
    assert len(keys[0]) >= 32
    assert [each.name for each in (tmp_path / DATA_FOLDER).iterdir()] == ["secret_key"]
