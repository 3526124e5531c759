"""Short ways to write answers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from .contract.custom import Input, Outcome, Schedule, Withheld
from .contract.detector import NearMiss, Report
from .contract.types import Detection, PluginError


def near_miss(id: str, reason: str) -> Report:
    """A report that says: nothing matched; this nearly did, and this is why not."""
    return Report(near_misses=[NearMiss(id, reason)])


def notes(value: Any) -> str:
    """Notes for the builder of the same plugin, for `notes_json` of a detection."""
    return written(value)


def notes_of(detection: Detection) -> Any:
    """The notes in a detection. Raises `PluginError` with the code `notes.invalid` if they are no JSON."""
    return _read(detection.notes_json, "notes.invalid", f"the notes of {detection.id}")


def inputs_of(given: Input) -> Any:
    """What the other stage has answered. Raises `PluginError` with the code `inputs.invalid`."""
    what = f"{given.name} of {given.plugin}.{given.stage}"
    return _read(given.outputs_json or "{}", "inputs.invalid", what)


def done(
    summary: str,
    outputs: Any = None,
    *,
    schedules: Iterable[Schedule] = (),
    withheld: Iterable[Withheld] = (),
) -> Outcome:
    """A custom stage's answer: one line says what came of it; `outputs` go to stages that need it.

    `schedules` (commands that the host runs at their times while this version is live) and `withheld` (files of
    a static tree that are not served) are of a stage at `after-build`.
    """
    return Outcome(
        summary=summary,
        outputs_json="" if outputs is None else written(outputs),
        schedules=list(schedules),
        withheld=list(withheld),
    )


def skipped(why: str) -> Outcome:
    """A custom stage's answer: there was nothing to do, for this reason."""
    return Outcome(skipped=True, summary=why)


def report_of(answer: Report | Detection | list[Detection] | None) -> Report:
    """What a detector returned, as a report."""
    if answer is None:
        return Report()
    if isinstance(answer, Detection):
        return Report(detections=[answer])
    return Report(detections=answer) if isinstance(answer, list) else answer


def written(value: Any) -> str:
    """A value as JSON, without spaces: as every other SDK writes it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _read(text: str, code: str, what: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise PluginError(code, f"{what} does not read: {error}") from error
