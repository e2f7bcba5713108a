"""Does a turn or a page cost more in a long thread, or in a store with many threads?

    uv run --group bench python -m benchmarks.growth --kinds sqlite postgresql --plot docs/benchmarks/growth.svg

For each kind of database two stores are filled: one whose threads have 10 to 100,000 items, one each with 10 to
1,000,000 threads. What people do is then measured on all sizes in turns, so that noise meets all of them alike, and
told as the ratio to the smallest size. The plain pattern of the SDK's samples (`plain_store`) runs beside it.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import batched
from pathlib import Path
from typing import Any

from chatkit.types import (
    AssistantMessageContent,
    AssistantMessageItem,
    InferenceOptions,
    ThreadItem,
    ThreadMetadata,
    UserMessageItem,
    UserMessageTextContent,
)

from backchannel.chat.agent.history import load_history
from backchannel.context import Identity, RequestContext
from backchannel.ids import new_id
from backchannel.stores.sql.engine import Database
from backchannel.stores.sql.migrate import upgrade
from backchannel.stores.sql.search import entry_values
from backchannel.stores.sql.store import SqlStore
from backchannel.stores.sql.tables import items, search_entries, threads
from benchmarks.plain_store import PlainStore

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from databases import empty_database

ADA = RequestContext(Identity("ada"))
START = datetime(2026, 1, 1, tzinfo=UTC)
OWNER = {"tenant": "default", "user_id": "ada"}
HISTORY_TOKENS = 500
"""About as much as the shortest thread has, so that every size has enough to fill it."""

type Work = Callable[[], Awaitable[object]]


def text_of(number: int) -> str:
    return f"message number {number} about milk, bread and word{number % 5000} " + "lorem ipsum " * 12


def item_row(thread_id: str, seq: int) -> dict[str, Any]:
    moment = START + timedelta(seconds=seq)
    item_id = f"msg_{thread_id}_{seq}"
    if seq % 2:
        kind, part = "user_message", {"type": "input_text", "text": text_of(seq)}
        more: dict[str, Any] = {"attachments": [], "inference_options": {}}
    else:
        kind, part, more = (
            "assistant_message",
            {"type": "output_text", "text": text_of(seq), "annotations": []},
            {},
        )
    common = {"id": item_id, "thread_id": thread_id, "created_at": moment.isoformat(), "type": kind}
    data = {**common, "content": [part], **more}
    kept = {"thread_id": thread_id, "seq": seq, "id": item_id, "type": kind}
    return {**kept, **OWNER, "data": json.dumps(data), "created_at": moment}


def thread_row(thread_id: str, number: int, last_seq: int) -> dict[str, Any]:
    moment = START + timedelta(seconds=number)
    kept = {"id": thread_id, "status": {"type": "active"}, "metadata": {}, "last_seq": last_seq}
    return {**kept, **OWNER, "created_at": moment, "updated_at": moment}


def entry_row(row: Mapping[str, Any], owner: Identity) -> dict[str, Any]:
    words = entry_values(owner, row["thread_id"], row["id"], text_of(row["seq"])) or {}
    return {**words, "tenant": owner.tenant, "user_id": owner.user}


async def put(database: Database, table: Any, rows: Iterator[dict[str, Any]]) -> None:
    for some in batched(rows, 5_000, strict=False):
        async with database.write() as connection:
            await connection.execute(table.insert(), list(some))


async def analyze(database: Database) -> None:
    async with database.write() as connection:
        for table in ("threads", "items", "search_entries"):
            await connection.exec_driver_sql(
                f"ANALYZE TABLE {table}" if database.dialect.name == "mysql" else f"ANALYZE {table}"
            )


async def fill_long(database: Database, size: int) -> None:
    """One thread with `size` items."""
    thread_id = f"thr_{size}"
    await put(database, threads, iter([thread_row(thread_id, size, size)]))
    await put(database, items, (item_row(thread_id, seq) for seq in range(1, size + 1)))
    rows = (entry_row(item_row(thread_id, seq), ADA.identity) for seq in range(1, size + 1))
    await put(database, search_entries, rows)


async def fill_many(database: Database, size: int) -> None:
    """`size` threads of one person's, and as many words of theirs to be searched as a person of fifty threads has:
    the other messages belong, for the search, to others."""
    await put(database, threads, (thread_row(f"thr_{n}", n, 1) for n in range(size)))
    await put(database, items, (item_row(f"thr_{n}", 1) for n in range(size)))
    others = [Identity(f"user-{n}") for n in range(max(1, size // 50))]
    rows = (
        entry_row(item_row(f"thr_{n}", 1), ADA.identity if n < 10 else others[n % len(others)])
        for n in range(size)
    )
    await put(database, search_entries, rows)


def a_question(store: SqlStore, thread: ThreadMetadata) -> ThreadItem:
    return UserMessageItem(
        id=store.generate_item_id("message", thread, ADA),
        thread_id=thread.id,
        created_at=datetime.now(),  # noqa: DTZ005 - as the SDK makes dates
        content=[UserMessageTextContent(text=text_of(7))],
        inference_options=InferenceOptions(),
    )


def a_message(store: SqlStore, thread: ThreadMetadata) -> ThreadItem:
    return AssistantMessageItem(
        id=store.generate_item_id("message", thread, ADA),
        thread_id=thread.id,
        created_at=datetime.now(),  # noqa: DTZ005 - as the SDK makes dates
        content=[AssistantMessageContent(text=text_of(7))],
    )


def what_people_do(store: SqlStore, thread_id: str, middle: str | None) -> dict[str, Work]:
    async def turn() -> None:
        thread = await store.load_thread(thread_id, ADA)
        await store.add_thread_item(thread_id, a_question(store, thread), ADA)
        await load_history(store, thread_id, ADA, max_tokens=HISTORY_TOKENS)
        await store.add_thread_item(thread_id, a_message(store, thread), ADA)

    async def begin() -> None:
        thread = ThreadMetadata(id=new_id("thread"), created_at=datetime.now())  # noqa: DTZ005
        await store.save_thread(thread, ADA)
        await store.add_thread_item(thread.id, a_message(store, thread), ADA)

    return {
        "a turn": turn,
        "a new thread": begin,
        "newest items": lambda: store.load_thread_items(thread_id, None, 20, "desc", ADA),
        "items from the middle": lambda: store.load_thread_items(thread_id, middle, 20, "desc", ADA),
        "list of threads": lambda: store.load_threads(20, None, "desc", ADA),
        "search": lambda: store.search_threads("milk word1", 10, ADA),
    }


LONG = ("a turn", "newest items", "items from the middle")
MANY = ("a turn", "a new thread", "list of threads", "search")


def plain(store: PlainStore, thread_id: str) -> dict[str, Work]:
    helper = SqlStore.__new__(SqlStore)

    async def turn() -> None:
        thread = await store.load_thread(thread_id, "ada")
        await store.add_thread_item(thread_id, a_question(helper, thread), "ada")
        await store.load_thread_items(thread_id, None, 10, "desc", "ada")
        await store.add_thread_item(thread_id, a_message(helper, thread), "ada")

    return {
        "a turn": turn,
        "newest items": lambda: store.load_thread_items(thread_id, None, 20, "desc", "ada"),
        "list of threads": lambda: store.load_threads(20, None, "desc", "ada"),
    }


def plain_row(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["id"], row["thread_id"], "ada", row["created_at"].isoformat(), row["data"]


def fill_plain(path: Path, sizes: Sequence[int], *, long: bool) -> dict[int, dict[str, Work]]:
    works: dict[int, dict[str, Work]] = {}
    store: PlainStore | None = None
    for size in sizes:
        if store is None or not long:
            store = PlainStore(path / f"plain-{long}-{size}.db")
        ids = [f"thr_{size}"] if long else [f"thr_{n}" for n in range(size)]
        for some in batched(ids, 20_000, strict=False):
            rows = []
            for thread_id in some:
                moment = (START + timedelta(seconds=len(rows))).replace(tzinfo=None)
                thread = ThreadMetadata(id=thread_id, created_at=moment)
                rows.append((thread_id, "ada", moment.isoformat(), thread.model_dump_json()))
            store.fill("threads", rows)
        counts = range(1, size + 1) if long else [1]
        for some in batched(((each, seq) for each in ids for seq in counts), 20_000, strict=False):
            made = [item_row(thread_id, seq) for thread_id, seq in some]
            store.fill(
                "items",
                [(r["id"], r["thread_id"], "ada", r["created_at"].isoformat(), r["data"]) for r in made],
            )
        works[size] = plain(store, ids[0])
    return works


async def measure(
    works: Mapping[int, Mapping[str, Work]], names: Sequence[str], rounds: int
) -> dict[str, dict[int, float]]:
    """The median milliseconds of each work on each size, measured in turns."""
    times: dict[str, dict[int, list[float]]] = {name: {size: [] for size in works} for name in names}
    for number in range(rounds + 2):
        for name in names:
            for size, work in works.items():
                began = time.perf_counter()
                await work[name]()
                if number >= 2:
                    times[name][size].append((time.perf_counter() - began) * 1000)
    return {
        name: {size: statistics.median(each) for size, each in sizes.items()} for name, sizes in times.items()
    }


async def run_kind(kind: str, options: argparse.Namespace, stack: ExitStack, folder: Path) -> dict[str, Any]:
    lengths = [size for size in (10, 100, 1_000, 10_000, 100_000) if size <= options.items]
    counts = [size for size in (10, 1_000, 100_000, 1_000_000) if size <= options.threads]
    databases: list[Database] = []

    async def opened() -> Database:
        url = await asyncio.to_thread(lambda: stack.enter_context(empty_database(kind, folder)))
        database = Database(url)
        await upgrade(database)
        databases.append(database)
        return database

    one = await opened()
    for size in lengths:
        await fill_long(one, size)
    await analyze(one)
    long = {
        size: what_people_do(SqlStore(one), f"thr_{size}", f"msg_thr_{size}_{size // 2}") for size in lengths
    }
    many: dict[int, dict[str, Work]] = {}
    for size in counts:
        database = await opened()
        await fill_many(database, size)
        await analyze(database)
        many[size] = what_people_do(SqlStore(database), f"thr_{size // 2}", None)
    result = {
        "items in the thread": await measure(long, LONG, options.rounds),
        "threads in the store": await measure(many, MANY, options.rounds),
    }
    for database in databases:
        await database.close()
    return result


async def run_plain(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    lengths = [size for size in (10, 100, 1_000, 10_000, 100_000) if size <= options.items]
    counts = [size for size in (10, 1_000, 100_000, 1_000_000) if size <= options.threads]
    long = fill_plain(folder, lengths, long=True)
    many = fill_plain(folder, counts, long=False)
    rounds = min(options.rounds, 9)
    return {
        "items in the thread": await measure(long, ("a turn", "newest items"), rounds),
        "threads in the store": await measure(many, ("a turn", "list of threads"), rounds),
    }


def tell(results: Mapping[str, Any]) -> None:
    for kind, parts in results.items():
        for what, works in parts.items():
            sizes = next(iter(works.values()))
            print(f"\n{kind}: cost by {what}, as a ratio to {min(sizes)}")
            print("  " + "".join(f"{size:>14,}" for size in sizes))
            for name, by_size in works.items():
                base = by_size[min(by_size)]
                ratios = "".join(f"{value / base:>13.2f}x" for value in by_size.values())
                print(f"  {ratios}   {name} ({base:.2f} ms)")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kinds", nargs="+", default=["sqlite"], choices=["sqlite", "postgresql", "mariadb"])
    parser.add_argument("--items", type=int, default=100_000, help="items in the longest thread")
    parser.add_argument("--threads", type=int, default=1_000_000, help="threads in the largest store")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--json", type=Path, help="where to write the medians")
    parser.add_argument("--plot", type=Path, help="where to draw them (needs the dependency group `bench`)")
    options = parser.parse_args()
    results: dict[str, Any] = {}
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        for kind in options.kinds:
            results[kind] = asyncio.run(run_kind(kind, options, stack, Path(folder)))
        results["plain pattern"] = asyncio.run(run_plain(options, Path(folder)))
    tell(results)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    if options.plot:
        from benchmarks.plot import draw  # noqa: PLC0415 - matplotlib is only for those who draw

        draw(results, options.plot)


if __name__ == "__main__":
    main()
