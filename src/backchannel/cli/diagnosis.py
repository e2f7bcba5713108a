"""The implementation of `backchannel doctor`."""

import asyncio
import json
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict

from backchannel.cli.endpoint_probes import probe_jwks, probe_mcp, probe_model, probe_oidc
from backchannel.cli.file_probes import probe_file_store
from backchannel.cli.findings import PROBE_SECONDS, Finding, ProblemError, Redaction
from backchannel.cli.machine_probes import probe_files, probe_machine
from backchannel.cli.storage_probes import probe_database, probe_redis
from backchannel.errors import BackchannelError
from backchannel.mcp.reasons import leaf
from backchannel.observability.logging import configure_logging
from backchannel.settings import Settings, unknown_settings
from backchannel.targets import load_target
from backchannel.wiring import Target

type Probe = Callable[[Settings, Target | None], AsyncIterator[Finding]]

PROBES: dict[str, Probe] = {
    "database": probe_database,
    "redis": probe_redis,
    "model": probe_model,
    "token keys": probe_jwks,
    "oidc": probe_oidc,
    "mcp": probe_mcp,
    "files": probe_files,
    "file store": probe_file_store,
    "machine": probe_machine,
}
"""Each gives findings in the order in which they are shown. All run at the same time, and each for `PROBE_SECONDS`."""

_EXIT_CODE = 2


def run(settings: Settings, problems: Sequence[str], *, as_json: bool) -> int:
    """Check everything, print what was found, and return the exit code.

    Args:
        problems: What is wrong with the settings, a line each.
    """
    configure_logging("console", "error")
    findings = [Finding("settings", "problem", problem) for problem in problems]
    findings += [
        Finding("settings", "warning", f"{name} is no setting of this version; see .env.example")
        for name in unknown_settings(os.environ)
    ]
    if not findings:
        findings.append(Finding("settings", "ok", f"all values are valid, for {settings.env}"))
    application, target = _load(settings)
    findings += [application, *asyncio.run(_probe(settings, target))]
    redacted = Redaction(settings)
    found = [Finding(each.check, each.state, redacted(each.message)) for each in findings]
    broken = any(each.state == "problem" for each in found)
    if as_json:
        print(json.dumps({"ok": not broken, "findings": [asdict(each) for each in found]}, indent=2))
    else:
        _print(found)
    return _EXIT_CODE if broken else 0


def _load(settings: Settings) -> tuple[Finding, Target | None]:
    try:
        return Finding("application", "ok", settings.app), load_target(settings.app)
    except BackchannelError as error:
        return Finding("application", "problem", f"BACKCHANNEL_APP: {error.message}"), None


async def _probe(settings: Settings, target: Target | None) -> list[Finding]:
    found = await asyncio.gather(*(_bounded(name, probe, settings, target) for name, probe in PROBES.items()))
    return [finding for findings in found for finding in findings]


async def _bounded(name: str, probe: Probe, settings: Settings, target: Target | None) -> list[Finding]:
    """What a probe finds, up to the point at which it fails or its time is over."""
    findings: list[Finding] = []
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            async for finding in probe(settings, target):
                findings.append(finding)  # noqa: PERF401 - those before a failure are kept
    except TimeoutError:
        findings.append(Finding(name, "problem", f"does not answer within {PROBE_SECONDS} seconds"))
    except ProblemError as problem:
        findings.append(Finding(name, "problem", str(problem)))
    except BackchannelError as error:
        findings.append(Finding(name, "problem", error.message))
    except Exception as error:  # a probe must not hide what the others find
        cause = leaf(error)
        findings.append(Finding(name, "problem", f"cannot be checked ({type(cause).__name__}: {cause})"))
    return findings


def _print(findings: Sequence[Finding]) -> None:
    width = max(len(each.check) for each in findings)
    for each in findings:
        print(f"{each.state:8} {each.check:{width}}  {each.message}")
    counts = Counter(each.state for each in findings)
    if counts["problem"] or counts["warning"]:
        print(f"\n{counts['problem']} problems, {counts['warning']} warnings")
    else:
        print("\nNothing is wrong.")
