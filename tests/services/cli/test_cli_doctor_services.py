"""`backchannel doctor` with real databases and Redis."""

import json

import pytest

from redis_server import shared_server
from unit.cli.conftest import Command

pytestmark = pytest.mark.row("G7")


def test_a_database_is_looked_at(command: Command, todo_url: str):
    ended = command("doctor", "--json", database_url=todo_url, database_migrate="false")
    found = {each["check"]: each for each in json.loads(ended.out)["findings"]}
    assert ended.code == 0, ended.out
    for check in ("database", "tables", "writes"):
        assert found[check]["state"] == "ok", found[check]
    if "sqlite" not in todo_url:
        assert found["database clock"]["state"] == "ok"


def test_redis_is_looked_at_and_a_password_that_is_refused_is_not_shown(command: Command):
    url = shared_server()
    ended = command("doctor", "--json", redis_url=f"{url}/0")
    found = {each["check"]: each for each in json.loads(ended.out)["findings"]}
    assert ended.code == 0, ended.out
    assert [found[check]["state"] for check in ("redis", "redis clock", "event log")] == ["ok"] * 3
    assert found["event log"]["message"] == "in Redis"

    refused = command("doctor", redis_url=url.replace("://", "://somebody:my-password@") + "/0")
    assert refused.code == 2
    assert "BACKCHANNEL_REDIS_URL" in refused.out
    assert "my-password" not in refused.out
