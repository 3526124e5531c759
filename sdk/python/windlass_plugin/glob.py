"""Globs of listings, natively: the rules of the host."""

from __future__ import annotations

import re


def compiled(glob: str) -> re.Pattern[str]:
    """A glob as a regular expression.

    `*` and `?` stay within a folder, `**` crosses them where it is a whole part of the path, `[a-z]` and
    `[!a-z]` are one character, `{a,b}` alternatives. Raises `ValueError` for one that is broken.
    """
    out = []
    at = braces = 0
    while at < len(glob):
        rest = glob[at:]
        starts = at == 0 or glob[at - 1] == "/"
        took = 1
        if starts and rest.startswith("**/"):
            out.append("(?:.*/)?")
            took = 3
        elif starts and rest == "**":
            out.append(".*")
            took = 2
        elif rest[0] == "*":
            out.append("[^/]*")
        elif rest[0] == "?":
            out.append("[^/]")
        elif rest[0] == "[":
            found = re.match(r"\[([!^]?)(\]?[^\]]*)\]", rest)
            if not found:
                raise ValueError(f"the glob {glob} is broken: a [ is not closed")
            letters = re.sub(r"([\\\]\[^&~|])", r"\\\1", found[2])
            out.append(f"[^/{letters}]" if found[1] else f"[{letters}]")
            took = len(found[0])
        elif rest[0] == "{":
            braces += 1
            out.append("(?:")
        elif rest[0] == "}":
            braces -= 1
            if braces < 0:
                raise ValueError(f"the glob {glob} is broken: a }} was not opened")
            out.append(")")
        elif rest[0] == "," and braces:
            out.append("|")
        elif rest[0] == "\\" and len(rest) > 1:
            out.append(re.escape(rest[1]))
            took = 2
        else:
            out.append(re.escape(rest[0]))
        at += took
    if braces:
        raise ValueError(f"the glob {glob} is broken: a {{ is not closed")
    return re.compile("".join(out), re.DOTALL)
