"""What does a token cost, and a turn, and an open stream, beside the plain pattern of OpenAI's samples?

    uv run python -m benchmarks.cost [--rounds 5] [--quick]
    uv run --group bench python -m benchmarks.cost --write docs/benchmarks

Every contender serves the same agent as a process of its own, and a model server that costs nothing (`fake_model`)
answers. What is measured is the server's process alone: its CPU time, its memory, and how long people wait. Contenders
take turns, or are watched at the same time, so that noise meets all of them alike; results are ratios within one run.
A machine's absolute times mean nothing elsewhere, nor tomorrow. Every answer is checked; a wrong one ends the run.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import asdict, replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.contenders import BACKCHANNEL, CONTENDERS, PLAIN, PLAIN_SQLITE, fake_model, prepare
from benchmarks.figures import medians, ratios, table
from benchmarks.measures import ONCE, QUICK, REPEATED, Measure, Sizes, warm
from benchmarks.processes import ROOT, DidNotStartError, Measured

MARK = "<!-- cost -->"
"""Stands before and after the table in the document."""

PACKAGES = ("openai", "openai-agents", "openai-chatkit", "fastapi", "uvicorn")

type Samples = dict[str, dict[str, list[float]]]


async def start(names: Sequence[str], model: Measured, stack: AsyncExitStack, folder: Path) -> list[Measured]:
    """Start contenders side by side; those that are not needed and do not start are left out, and said to be."""
    resources = stack.enter_context(ExitStack())

    async def begin(name: str) -> Measured | None:
        try:
            server = await prepare(CONTENDERS[name], model, resources, folder)
            stack.push_async_callback(server.stop)
            await server.start()
        except DidNotStartError as error:
            if CONTENDERS[name].needed:
                raise
            print(f"{name} is left out: {error}", file=sys.stderr)
            return None
        return server

    started = await asyncio.gather(*map(begin, names), return_exceptions=True)
    running: list[Measured] = []
    for server in started:
        if isinstance(server, BaseException):
            raise server
        if server is not None:
            running.append(server)
    return running


async def take(measure: Measure, servers: Sequence[Measured], sizes: Sizes, samples: Samples) -> None:
    """One sample of each server."""
    for server, values in zip(servers, await measure(servers, sizes), strict=True):
        for figure, value in values.items():
            samples.setdefault(server.name, {}).setdefault(figure, []).append(value)


async def one_round(names: Sequence[str], measures: Sequence[str], sizes: Sizes, samples: Samples) -> None:
    """Start all contenders, measure them in turns, and stop them."""
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            model = fake_model(Path(folder))
            stack.push_async_callback(model.stop)
            await model.start()
            servers = await start(names, model, stack, Path(folder))
            for server in servers:
                await warm(server, sizes)
            for name in [name for name in ONCE if name in measures]:
                await take(ONCE[name], servers, sizes, samples)
            for repeat in range(sizes.repeats):
                # Each comes first once: whoever follows a long silence is a little slower.
                first = repeat % len(servers)
                order = servers[first:] + servers[:first]
                for name in [name for name in REPEATED if name in measures]:
                    await take(REPEATED[name], order, sizes, samples)


async def run(names: Sequence[str], measures: Sequence[str], sizes: Sizes) -> dict[str, Any]:
    """Measure, and give samples, medians, ratios, and what was measured."""
    samples: Samples = {}
    for number in range(sizes.rounds):
        await one_round(names, measures, sizes, samples)
        # What did not start is not tried again: its samples would stand beside no others.
        names = [name for name in names if name in samples]
        print(f"round {number + 1} of {sizes.rounds}", file=sys.stderr)
    return summary({name: samples[name] for name in names}, sizes)


def summary(samples: Samples, sizes: Sizes) -> dict[str, Any]:
    """Everything that is worth keeping of a run."""
    compared = {
        base: {
            name: {figure: asdict(one) | {"best": one.best} for figure, one in figures.items()}
            for name, figures in others.items()
        }
        for base, others in ratios(samples).items()
    }
    return {
        "sizes": asdict(sizes),
        "versions": {"python": sys.version.split()[0], **{name: version(name) for name in PACKAGES}},
        "revision": _revision(),
        "ratios": compared,
        "medians": medians(samples),
        "samples": samples,
    }


def write(results: Mapping[str, Any], folder: Path) -> None:
    """Keep results where readers find them: `cost.json`, the table in `README.md`, and a picture if it can be drawn."""
    (folder / "cost.json").write_text(json.dumps(results, indent=1) + "\n")
    document = folder / "README.md"
    before, _, rest = document.read_text(encoding="utf-8").partition(MARK)
    _, _, after = rest.partition(MARK)
    made = f"{before}{MARK}\n\n{table(results['samples'])}\n\n{MARK}{after}"
    document.write_text(made, encoding="utf-8")
    try:
        from benchmarks.plot import draw_cost  # noqa: PLC0415 - matplotlib is only for those who draw
    except ImportError:
        print("not drawn: there is no matplotlib (uv run --group bench …)", file=sys.stderr)
        return
    draw_cost(results, folder / "cost.svg")


def _revision() -> str:
    # Of the tree that is measured, which need not be the one that measures.
    found = find_spec("backchannel")
    place = Path(found.origin).parent if found and found.origin else ROOT
    asked = ["git", "-C", str(place), "describe", "--always", "--dirty"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    usual = [PLAIN, PLAIN_SQLITE, BACKCHANNEL]
    every = [*ONCE, *REPEATED]
    parser.add_argument("--contenders", nargs="+", default=usual, choices=list(CONTENDERS))
    parser.add_argument("--measures", nargs="+", default=every, choices=every)
    parser.add_argument("--quick", action="store_true", help="about a minute")
    parser.add_argument("--rounds", type=int, help="how often all servers are started anew")
    parser.add_argument("--json", type=Path, help="where to write everything")
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="keep the results in this folder")
    options = parser.parse_args()
    sizes = QUICK if options.quick else Sizes()
    if options.rounds is not None:
        sizes = replace(sizes, rounds=options.rounds)
    results = asyncio.run(run(options.contenders, options.measures, sizes))
    print(table(results["samples"]))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    if options.write:
        write(results, options.write)


if __name__ == "__main__":
    main()
