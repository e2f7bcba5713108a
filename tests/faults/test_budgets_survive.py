"""`kill -9` in the middle of a model's call: what was reserved of a budget is settled by the process that goes on (F5)."""

from pathlib import Path
from typing import Any

import pytest

from faults.cluster import running
from faults.model_server import ModelServer, whole
from faults.talker import Person
from processes import until, within

pytestmark = pytest.mark.row("F5", "H1")

TOKENS = 40
REPORTED = 10 + TOKENS


@pytest.mark.parametrize("kind", ["sqlite", "postgresql+redis"])
@within(60)
async def test_a_call_of_a_killed_process_is_charged_what_was_sent_and_seen(
    model: ModelServer, tmp_path: Path, kind: str
):
    replicas = 1 if kind == "sqlite" else 2
    async with (
        running(kind, tmp_path / kind, model, replicas, token_budget="100000/day", titles="rule") as cluster,
        Person(cluster.urls, user="ada") as ada,
    ):

        async def usage() -> dict[str, Any]:
            response, _ = await ada.send("GET", "/api/chatkit/usage", ada.replicas)
            return response.json()

        answer = await ada.ask(f"{kind}: tokens {TOKENS} hold {kind} at 20")
        await answer.until_said(":19 ")
        [during] = (await usage())["budgets"]
        assert (during["used"], during["reserved"] > 2000) == (0, True)
        await cluster.replicas[0].process.kill()
        if kind == "sqlite":
            await cluster.replicas[0].start()
        await model.reached(kind, 20, calls=2)
        model.gate(kind).set()
        await answer.finish()
        assert (answer.errors, answer.run["status"]) == ([], "completed")
        assert whole(answer.text, kind, TOKENS)

        async def is_settled() -> bool:
            return (await usage())["budgets"][0]["reserved"] == 0

        await until(is_settled, "everything is settled")
        seen = await usage()
        [after], [row] = seen["budgets"], seen["period"]["models"]
        assert row["requests"] == 2
        assert (
            after["used"]
            == row["input_tokens"] + row["output_tokens"]
            == sum(answer.run["usage"][name] for name in ("input_tokens", "output_tokens"))
        )
        # Of the first call its input, and the twenty words that had been seen.
        first = after["used"] - REPORTED
        assert 40 <= first <= during["reserved"] - 1800
