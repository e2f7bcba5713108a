"""Rate limits of real processes: in a flood, and while Redis is silent or gone."""

import asyncio
import json
import os
import statistics
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from faults import flood
from faults.redis_server import RedisServer
from faults.test_before_gateway import serving
from processes import Process, until, within
from raw_http import Connection

pytestmark = pytest.mark.row("F5")

KEY = "k" * 32
JWT = {"auth": "jwt", "jwt_secret": KEY, "secret_key": KEY}

ROUNDS = 4
REQUESTS = 2500
CONNECTIONS = 250
LIMIT = 100


def token(user: str) -> str:
    claims = {"sub": user, "exp": int(time.time()) + 3600}
    return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(KEY))


async def latencies(url: str, user: str, requests: int) -> list[float]:
    """How long requests of a person take, one after the other with pauses."""
    data, times = flood.request(token(user)), list[float]()
    async with Connection(url) as connection:
        for _ in range(requests):
            began = time.perf_counter()
            await connection.send(data)
            answer = await connection.answer()
            times.append(time.perf_counter() - began)
            assert answer.status == 200, answer.body
            await asyncio.sleep(0.01)
    return times


@pytest.mark.alone
@within(90)
async def test_ten_thousand_requests_of_one_user_do_not_slow_down_another(tmp_path: Path):
    """Each flood is 2,500 requests over 250 connections, from the same address as the other user. Of each flood exactly
    100 are answered. The ratio is that of the best round: the machine may be busy with something else."""
    settings = {**JWT, "rate_limit": f"{LIMIT}/hour", "rate_limit_address": "off"}
    async with serving(tmp_path, **settings) as (_, url):
        await latencies(url, "warm", 20)
        ratios = list[float]()
        for number in range(ROUNDS):
            quiet = await latencies(url, f"quiet {number}", 40)
            flooding = Process(tmp_path / f"flood-{number}.log")
            script = Path(flood.__file__)
            arguments = [url, token(f"flooder {number}"), str(REQUESTS), str(CONNECTIONS)]
            flooding.execute([sys.executable, str(script), *arguments], os.environ)
            try:
                await until(lambda log=flooding.log: "flooding" in log.read_text(), "the flood has begun", 20)
                beside = await latencies(url, f"beside {number}", 40)
                assert flooding.alive, "the flood ended too early to say anything"
                assert await flooding.ended() == 0
            finally:
                await flooding.kill()
            found = json.loads(flooding.told().splitlines()[-1])
            assert found == {"200": LIMIT, "429": REQUESTS - LIMIT}
            ratios.append(statistics.median(beside) / statistics.median(quiet))
        assert min(ratios) <= 1.5, ratios


async def statuses(url: str, user: str, requests: int) -> tuple[Counter[int], float]:
    """Of some requests at once, and how long the slowest took."""
    data = flood.request(token(user))

    async def send() -> tuple[int, float]:
        began = time.perf_counter()
        async with Connection(url) as connection:
            await connection.send(data)
            return (await connection.answer()).status, time.perf_counter() - began

    found = await asyncio.gather(*(send() for _ in range(requests)))
    return Counter(status for status, _ in found), max(seconds for _, seconds in found)


@within(90)
async def test_replicas_share_limits_in_redis_and_limit_by_themselves_while_it_is_silent_or_gone(
    tmp_path: Path,
):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with RedisServer(tmp_path) as redis:
        settings = {
            **JWT,
            "rate_limit": "6/hour",
            "redis_url": redis.url,
            "database_url": f"sqlite:///{tmp_path / 'shared.db'}",
        }
        async with (
            serving(tmp_path / "a", **settings) as (a, one),
            serving(tmp_path / "b", **settings) as (_, two),
        ):
            (here, _), (there, _) = await asyncio.gather(statuses(one, "ann", 8), statuses(two, "ann", 8))
            assert here + there == {200: 6, 429: 10}
            redis.process.pause()
            try:
                # The first ones wait for it, for a quarter of a second.
                found, slowest = await statuses(one, "bob", 8)
                assert found == {200: 6, 429: 2}
                assert slowest < 2
                for _ in range(3):
                    found, slowest = await statuses(one, "bob", 4)
                    assert found == {429: 4}
                    assert slowest < 1
            finally:
                redis.process.resume()
            assert a.told().count("rate_limits_local") == 1

            async def is_shared() -> bool:
                await statuses(one, f"eve {time.time()}", 1)
                return "rate_limits_shared" in a.told()

            await until(is_shared, "Redis is asked again", 15)
            assert (await statuses(one, "dan", 3))[0] + (await statuses(two, "dan", 5))[0] == {200: 6, 429: 2}
            await redis.process.kill()
            found, slowest = await statuses(one, "fay", 8)
            assert found == {200: 6, 429: 2}
            assert slowest < 2
