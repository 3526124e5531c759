"""`python -m windlass_plugin build`: makes a component of the plugin in this folder."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .build import BuildError, build_plugin


def main() -> int:
    """The command line; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m windlass_plugin", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    build = verbs.add_parser("build", help="make a component of a plugin")
    build.add_argument("folder", nargs="?", default=".", type=Path, help="the plugin's folder")
    build.add_argument("--out", type=Path, help="the file to write, by default dist/NAME.wasm")
    arguments = parser.parse_args()
    try:
        built = build_plugin(arguments.folder.resolve(), arguments.out)
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{built.file}: {', '.join(built.stages)}; {-(-built.size // 1024)} KiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
