"""A short soak (`faults.soak`): people talk with three replicas while one after the other is
killed, and one message in five is answered oddly, over both APIs of models."""

import json
from pathlib import Path

import pytest

from faults.soak import soak
from processes import within


@pytest.mark.row("H1", "H2", "C4", "C6", "C8")
@within(120)
async def test_nothing_is_lost_twice_or_stuck(tmp_path: Path):
    report = await soak(
        tmp_path / "soak", seconds=8, people=16, kind="postgresql+redis", kill_every=2.5, seed=4, odd=5
    )
    assert report.kills >= 2
    assert report.messages > 40
    assert sum(report.odd_answers.values()) > 3
    assert report.good, json.dumps(vars(report), indent=2)
