"""Sessions in Redis 5 or newer, where each use of one costs less than in a SQL database."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, override

from redis.exceptions import RedisError

from backchannel.context import Identity
from backchannel.redis_client import open_client, translate_redis_errors
from backchannel.sessions.base import KEEP_ENDED, EndReason, Session, SessionStore
from backchannel.sessions.redis_scripts import CREATE, DELETE, END, EXCHANGE, TOUCH

SERVICE = "The store of sessions"
CONNECTIONS = 16

_TIMES = ("created_at", "expires_at")
_TEXTS = ("id", "kind", "idle_seconds", "family", "name", "user_agent", "address")


class RedisSessions(SessionStore):
    """The store of sessions in Redis. What a restart of Redis loses are logins: people log in again.

    Args:
        url: See `redis_client.open_client`.
        prefix: The prefix of all keys.

    Raises:
        ConfigurationError: The URL is invalid.
    """

    def __init__(self, url: str, *, prefix: str = "backchannel") -> None:
        self._redis: Any = open_client(url, connections=CONNECTIONS)
        self._prefix = prefix
        self._session_prefix = f"{prefix}:session:"
        self._create = self._redis.register_script(CREATE)
        self._exchange = self._redis.register_script(EXCHANGE)
        self._touch = self._redis.register_script(TOUCH)
        self._end = self._redis.register_script(END)
        self._delete = self._redis.register_script(DELETE)

    @override
    async def create(self, *sessions: Session) -> None:
        arguments = [self._session_prefix]
        for each in sessions:
            arguments += _stored(each, each.created_at)
        with translate_redis_errors(SERVICE):
            await self._create(keys=[self._owner_key(sessions[0].identity)], args=arguments)

    @override
    async def find(self, token_hash: str) -> Session | None:
        with translate_redis_errors(SERVICE):
            fields = await self._redis.hgetall(self._session_prefix + token_hash)
        return _session(token_hash, fields) if fields else None

    @override
    async def find_by_id(self, identity: Identity, session_id: str) -> Session | None:
        return next((each for each in await self._stored_of(identity) if each.id == session_id), None)

    @override
    async def touch(self, session: Session, now: datetime) -> None:
        with translate_redis_errors(SERVICE):
            await self._touch(keys=[self._session_prefix + session.token_hash], args=[now.isoformat()])

    @override
    async def exchange(
        self, session: Session, now: datetime, key: str, successors: Sequence[Session]
    ) -> bool:
        arguments = [self._session_prefix, session.token_hash, now.isoformat(), key]
        for each in successors:
            arguments += _stored(each, now)
        with translate_redis_errors(SERVICE):
            return bool(await self._exchange(keys=[self._owner_key(session.identity)], args=arguments))

    @override
    async def end(self, identity: Identity, session_id: str, now: datetime, reason: EndReason) -> bool:
        return bool(await self._end_chosen(identity, now, reason, "id", session_id))

    @override
    async def end_family(self, identity: Identity, family: str, now: datetime, reason: EndReason) -> int:
        return await self._end_chosen(identity, now, reason, "family", family)

    @override
    async def end_all(self, identity: Identity, now: datetime, reason: EndReason) -> int:
        return await self._end_chosen(identity, now, reason, "all", "")

    @override
    async def all_of(self, identity: Identity, now: datetime) -> Sequence[Session]:
        listed = [
            each for each in await self._stored_of(identity) if each.kind != "access" and each.live(now)
        ]
        return sorted(listed, key=lambda each: (each.created_at, each.id), reverse=True)

    async def _stored_of(self, identity: Identity) -> Sequence[Session]:
        with translate_redis_errors(SERVICE):
            digests = sorted(each.decode() for each in await self._redis.smembers(self._owner_key(identity)))
            pipeline = self._redis.pipeline(transaction=False)
            for digest in digests:
                pipeline.hgetall(self._session_prefix + digest)
            found: list[dict[bytes, bytes]] = await pipeline.execute() if digests else []
        return [_session(digest, each) for digest, each in zip(digests, found, strict=True) if each]

    @override
    async def delete_all(self, identity: Identity) -> int:
        with translate_redis_errors(SERVICE):
            return int(await self._delete(keys=[self._owner_key(identity)], args=[self._session_prefix]))

    @override
    async def delete_expired(self, now: datetime) -> int:
        # Redis deletes what has expired.
        return 0

    @override
    async def aclose(self) -> None:
        with suppress(RedisError, OSError):
            await self._redis.aclose()

    async def _end_chosen(
        self, identity: Identity, now: datetime, reason: EndReason, by: str, value: str
    ) -> int:
        keep = _milliseconds(KEEP_ENDED)
        arguments = [self._session_prefix, now.isoformat(), reason, keep, by, value]
        with translate_redis_errors(SERVICE):
            return int(await self._end(keys=[self._owner_key(identity)], args=arguments))

    def _owner_key(self, identity: Identity) -> str:
        # Of a fixed length, and no separator that an id could contain.
        owner = json.dumps([identity.tenant, identity.user]).encode()
        return f"{self._prefix}:sessions:{hashlib.sha256(owner).hexdigest()}"


def _stored(session: Session, now: datetime) -> list[Any]:
    """The arguments of `CREATE` for one session."""
    data = {
        "tenant": session.identity.tenant,
        "user": session.identity.user,
        "scopes": sorted(session.identity.scopes),
        "display_name": session.identity.name,
        **{name: getattr(session, name) for name in _TEXTS},
        **{name: getattr(session, name).isoformat() for name in _TIMES},
    }
    ttl = max(1, _milliseconds(session.expires_at - now + KEEP_ENDED))
    seen = session.last_seen_at.isoformat()
    return [session.token_hash, json.dumps(data), seen, session.id, session.family or "", ttl]


def _session(token_hash: str, fields: Mapping[bytes, bytes]) -> Session:
    data = json.loads(fields[b"data"])
    identity = Identity(
        data["user"], data["tenant"], scopes=frozenset(data["scopes"]), name=data.get("display_name")
    )
    rotated, ended = fields.get(b"rotated"), fields.get(b"ended")
    changing: dict[str, Any] = {
        "last_seen_at": datetime.fromisoformat(fields[b"seen"].decode()),
        "rotated_at": datetime.fromisoformat(rotated.decode()) if rotated else None,
        "rotation_key": fields[b"key"].decode() if b"key" in fields else None,
        "ended_at": datetime.fromisoformat(ended.decode()) if ended else None,
        "ended_reason": fields[b"reason"].decode() if b"reason" in fields else None,
    }
    times = {name: datetime.fromisoformat(data[name]) for name in _TIMES}
    texts = {name: data[name] for name in _TEXTS}
    return Session(identity=identity, token_hash=token_hash, **texts, **times, **changing)


def _milliseconds(span: timedelta) -> int:
    return int(span.total_seconds() * 1000)
