"""The default health policy and the default judge: the same rules as in the SDK for Rust.

Where no path is set and an image says itself how its process is asked, that command is the probe. Else a 2xx
after at most three redirects on the same host passes. Where no path is set, `/health`, `/healthz` and `/` are
tried in this order: a 404 moves on to the next, and fails only when all of them are 404; there an application
also passes that sends elsewhere or refuses the request, for it answers. An exit or an end for lack of memory
fails at once; everything else waits for the budget. Without a web process workers must stay up for a while.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from .contract.health import (
    CommandProbe,
    HttpProbe,
    Observation,
    Outcome,
    Policy,
    Probe,
    Process,
    StatusRange,
    TcpProbe,
    UpProbe,
    Verdict,
)
from .contract.types import Context, PluginError
from .settings import settings

__all__ = [
    "PATHS", "CommandProbe", "HttpProbe", "Observation", "Outcome", "Policy", "Probe", "Process",
    "StatusRange", "TcpProbe", "UpProbe", "Verdict", "default_judge", "default_policy",
]  # fmt: skip

#: Tried where the settings name no path.
PATHS = ("/health", "/healthz", "/")
# Statuses that pass where the settings name a path, and where they do not.
_PASSES = "200-299"
_ANSWERS = "200-299, 301-303, 307-308, 400, 401, 403, 405"
# Requests look as they do behind the proxy: an application that wants TLS would redirect each.
_HEADERS = [("x-forwarded-proto", "https")]
_BUDGET_MS = 300_000
_BUDGET_MS_MAX = 3_600_000
_STAYS_UP_MS = 5_000
# How long nothing but a wrong address may be seen before that is taken for final.
_WRONG_ADDRESS_MS = 10_000


def default_policy(ctx: Context, processes: list[Process], paths: Sequence[str] = PATHS) -> Policy:
    """The default policy, with the `[health]` settings of the context applied.

    Raises `PluginError` with one of the codes `health.path-invalid`, `health.status-invalid`,
    `health.timeout-invalid`, `settings.invalid`.
    """
    health = settings(ctx).health
    checks = [process.check for process in processes if process.check and _asked(process)]
    start = max((check.start_period_ms for check in checks), default=0)
    timeout = max((check.timeout_ms for check in checks), default=0)
    budget = min(start + _BUDGET_MS, _BUDGET_MS_MAX)
    usual = _ANSWERS if health.path is None else _PASSES
    return Policy(
        probes=_probes(processes, health.path, bool(checks), paths),
        pass_status=_statuses(usual if health.status is None else health.status),
        first_after_ms=20,
        interval_min_ms=10,
        interval_max_ms=1_000,
        timeout_ms=timeout or 5_000,
        budget_ms=budget if health.timeout is None else _duration_ms(health.timeout),
    )


def _probes(processes: list[Process], path: str | None, checks: bool, paths: Sequence[str]) -> list[Probe]:
    web = next((process for process in processes if process.web), None)
    if web and path is not None:
        return [_http(web, _checked_path(path))]
    if checks:
        return [probe for one in processes for probe in _own_or_usual(one, web is None, paths)]
    if web:
        return [_http(web, one) for one in paths]
    return [_stays_up(process) for process in processes]


def _asked(process: Process) -> list[str] | None:
    """The command of the check that a process's image brings; a check of `NONE` is none."""
    match process.check.test if process.check else []:
        case ["CMD", *argv] if argv:
            return argv
        case ["CMD-SHELL", line]:
            return ["/bin/sh", "-c", line]
    return None


def _own_or_usual(process: Process, without_web: bool, paths: Sequence[str]) -> list[Probe]:
    """A process's own check, or what it would be asked without one."""
    argv = _asked(process)
    if argv is not None:
        return [Probe.command(CommandProbe(process.name, argv))]
    if process.web:
        return [_http(process, path) for path in paths]
    return [_stays_up(process)] if without_web else []


def _http(web: Process, path: str) -> Probe:
    return Probe.http(HttpProbe(process=web.name, port=web.port, path=path, headers=[*_HEADERS]))


def _stays_up(worker: Process) -> Probe:
    return Probe.stays_up(UpProbe(worker.name, _STAYS_UP_MS))


def _checked_path(path: str) -> str:
    if path.startswith("/") and not re.search(r"[\s\x00-\x1f\x7f]", path):
        return path
    message = f"health.path {json.dumps(path)} is not a path"
    raise PluginError("health.path-invalid", message, 'start it with a slash, for example path = "/up"')


def _statuses(text: str) -> list[StatusRange]:
    ranges = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part, re.ASCII)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
        if not 100 <= first <= last <= 599:
            message = f"health.status {json.dumps(text)} does not read"
            hint = 'write one or more statuses or ranges: status = "200-299" or "200,204"'
            raise PluginError("health.status-invalid", message, hint)
        ranges.append(StatusRange(first, last))
    return ranges


_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "min": 60_000, "h": 3_600_000}


def _duration_ms(text: str) -> int:
    found = re.fullmatch(r"\s*(\d+)\s*([a-zA-Z]+)\s*", text, re.ASCII)
    ms = int(found[1]) * _UNITS.get(found[2], 0) if found else 0
    if 0 < ms < 2**32:
        return ms
    message = f"health.timeout {json.dumps(text)} does not read"
    hint = 'write a number and a unit: timeout = "300s" or "5m"'
    raise PluginError("health.timeout-invalid", message, hint)


def default_judge(policy: Policy, seen: list[Observation]) -> Verdict:
    """The default judge, over all that was seen so far, oldest first.

    Every process that the policy names must have passed one of its probes; the HTTP probes of one process
    are alternatives in their order.
    """
    if not seen:
        return Verdict.wait()
    last = seen[-1]
    if last.probe >= len(policy.probes):
        return Verdict.fail(f"probe {last.probe} is not in the policy")
    probe = policy.probes[last.probe]
    process = probe.value.process
    match last.outcome.tag:
        case "exited":
            code = last.outcome.value
            return Verdict.fail(f"{process} exited with status {code} before it was healthy")
        case "out-of-memory":
            return Verdict.fail(f"{process} was killed because it ran out of memory")
        case _ if _passes(policy, last.outcome):
            return _after_pass(policy, seen)
        case "status" if last.outcome.value == 404:
            verdict = _after_not_found(policy, seen, last)
            if verdict:
                return verdict
        case "wrong-address" if _only_wrong_address(seen):
            return Verdict.fail(_said(probe, last.outcome))
    if last.at_ms + last.took_ms >= policy.budget_ms:
        said = _said(probe, last.outcome)
        return Verdict.fail(f"not healthy after {policy.budget_ms // 1_000} s: {said}")
    return Verdict.wait()


def _passes(policy: Policy, outcome: Outcome) -> bool:
    if outcome.tag != "status":
        return outcome.tag == "ok"
    return any(one.first <= outcome.value <= one.last for one in policy.pass_status)


def _after_pass(policy: Policy, seen: list[Observation]) -> Verdict:
    """All processes passed, or on to the next one."""
    passed = {
        policy.probes[one.probe].value.process
        for one in seen
        if one.probe < len(policy.probes) and _passes(policy, one.outcome)
    }
    every = all(probe.value.process in passed for probe in policy.probes)
    return Verdict.pass_() if every else Verdict.next()


def _after_not_found(policy: Policy, seen: list[Observation], last: Observation) -> Verdict | None:
    """A 404 moves on to the next alternative.

    With a single one there is no other place to look: the application may still be starting, so only the
    budget ends it.
    """
    process = policy.probes[last.probe].value.process
    alternatives = [
        (index, probe.value.path)
        for index, probe in enumerate(policy.probes)
        if probe.tag == "http" and probe.value.process == process
    ]
    if len(alternatives) < 2:
        return None
    newest = {one.probe: one.outcome for one in seen}
    if all(newest.get(index) == Outcome.status(404) for index, _ in alternatives):
        paths = ", ".join(path for _, path in alternatives)
        return Verdict.fail(f"{process} answers 404 on {paths}: set health.path to one that exists")
    return Verdict.next() if alternatives[-1][0] > last.probe else None


def _only_wrong_address(seen: list[Observation]) -> bool:
    oldest = newest = seen[-1].at_ms
    for one in reversed(seen):
        if one.outcome.tag != "wrong-address":
            break
        oldest = one.at_ms
    return newest - oldest >= _WRONG_ADDRESS_MS


def _said(probe: Probe, outcome: Outcome) -> str:
    match probe.tag:
        case "http":
            asked = f"GET {probe.value.path}"
        case "tcp":
            asked = "a connection"
        case "command":
            asked = " ".join(probe.value.argv)
        case _:
            asked = f"staying up for {probe.value.stays_up_ms} ms"
    return f"{probe.value.process}: {asked} {_saw(outcome)}"


def _saw(outcome: Outcome) -> str:
    if outcome.tag == "status":
        said = f"was answered with status {outcome.value}"
        if outcome.value in (301, 302, 303, 307, 308):
            said += (
                ", which leads to another host, or to https although the request says "
                "x-forwarded-proto: https"
            )
        return said
    return {
        "ok": "worked",
        "refused": "was refused: nothing listens on the port it is told in PORT",
        "reset": "was cut off",
        "timeout": "had no answer in time",
        "exited": f"ended with status {outcome.value}",
        "command-failed": f"ended with status {outcome.value}",
        "out-of-memory": "ran out of memory",
        "wrong-address": "did not reach it: it listens only on the loopback address or on another port; "
        "listen on 0.0.0.0 and the port given in PORT",
    }[outcome.tag]
