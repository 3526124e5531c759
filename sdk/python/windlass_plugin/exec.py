"""Commands in a container: of an output of the build, or of an image. Needs the capability `exec`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .contract.exec import Batch, Command, Exit, Line, Pipe, Place
from .host import call
from .plan import key_values

__all__ = [
    "Batch", "Command", "Exit", "Line", "Pipe", "Place", "Process", "in_image", "in_output", "run", "spawn",
    "stderr", "stdout", "succeeded",
]  # fmt: skip


def in_output(output: str, argv: Iterable[str], **options: Any) -> Command:
    """A command in an output of the build, by its name; no shell is implied."""
    return _command(Place.output(output), argv, options)


def in_image(image: str, argv: Iterable[str], **options: Any) -> Command:
    """A command in an image that the host pulls; no shell is implied."""
    return _command(Place.image(image), argv, options)


def _command(place: Place, argv: Iterable[str], options: dict[str, Any]) -> Command:
    if "env" in options:
        options = {**options, "env": key_values(options["env"])}
    return Command(place=place, argv=[*argv], **options)


def run(command: Command) -> Exit:
    """Runs a command to its end. An exit that is not zero is an answer. Raises `HostError`."""
    ended: Exit = call("exec", "run", command)
    return ended


def spawn(command: Command) -> Process:
    """Begins a command; its lines are read while it runs. Raises `HostError`."""
    return Process(call("exec", "spawn", command))


def succeeded(ended: Exit) -> bool:
    """Whether it ended by itself, with status 0."""
    return ended.code == 0 and not ended.timed_out and not ended.out_of_memory


def stdout(ended: Exit) -> str:
    """The end of its standard output as text."""
    return ended.stdout_tail.decode("utf-8", errors="replace")


def stderr(ended: Exit) -> str:
    """The end of its standard error as text."""
    return ended.stderr_tail.decode("utf-8", errors="replace")


class Process:
    """A command that runs. The end of the call ends it too."""

    def __init__(self, process: Any) -> None:
        self._process = process

    def next_lines(self, lines_max: int = 0, wait_ms: int = 10_000) -> Batch:
        """Waits up to `wait_ms` for its next lines, at most `lines_max`; 0 for the host's number."""
        batch: Batch = self._process.next_lines(lines_max, wait_ms)
        return batch

    def each_line(self, each: Callable[[Line], None]) -> Exit:
        """Gives each line to `each` until the command has ended; how it ended."""
        while True:
            batch = self.next_lines()
            for line in batch.lines:
                each(line)
            if batch.ended:
                return self.wait()

    def wait(self) -> Exit:
        """Waits for its end."""
        ended: Exit = self._process.wait()
        return ended

    def kill(self) -> None:
        """Ends it."""
        self._process.kill()
