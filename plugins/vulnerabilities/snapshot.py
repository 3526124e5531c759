#!/usr/bin/env python3
"""Makes a snapshot of osv.dev that the plugin `vulnerabilities` reads from any web server of static files.

    snapshot.py FOLDER ECOSYSTEM...              downloads what osv.dev offers
    snapshot.py --from ZIPS FOLDER ECOSYSTEM...  reads ZIPS/ECOSYSTEM.zip instead; the time of these files is that of
                                                 the snapshot, so keep it when you copy them (cp -p, scp -p, rsync -t)

FOLDER is made, and must not be there yet: a snapshot is never half of one and half of another. Ecosystems are npm,
PyPI, crates.io, Go, RubyGems, Packagist, Hex, Maven and NuGet. Python 3.10 is all that it needs.

The files are `snapshot.json`, which says when it was made and of what, and 4096 of each ecosystem:
`ECOSYSTEM/DDD.txt`, where DDD are the first three digits of the SHA-256 of a package's name. The first line is
`osv-snapshot 1 ECOSYSTEM DDD TIME COUNT`; COUNT lines follow, each with the package's name, a tab, and an entry in the
format of OSV, as far as the plugin uses it. Names are in the spelling that all spellings of a package have in common.
"""

import argparse
import hashlib
import json
import pathlib
import re
import shutil
import tempfile
import time
import urllib.request
import zipfile

FORMAT = 1
SOURCE = "https://osv-vulnerabilities.storage.googleapis.com/{}/all.zip"
ECOSYSTEMS = ["npm", "PyPI", "crates.io", "Go", "RubyGems", "Packagist", "Hex", "Maven", "NuGet"]
LOWER_CASE = ["Packagist", "Hex", "NuGet"]
SHARDS = [f"{number:03x}" for number in range(4096)]


def normal_name(ecosystem, name):
    """The one spelling of a package's name."""
    if ecosystem == "PyPI":
        return re.sub(r"[-_.]+", "-", name).lower()
    return name.lower() if ecosystem in LOWER_CASE else name


def picked(value, *keys):
    """What is there of these members."""
    return {key: value[key] for key in keys if value.get(key) is not None}


def shortened(entry):
    """An entry without what is never used: most of it is text for people."""
    short = picked(entry, "id", "modified", "aliases", "summary", "severity")
    short["affected"] = []
    for affected in entry.get("affected") or []:
        part = picked(affected, "package", "severity", "versions")
        ranges = affected.get("ranges") or []
        part["ranges"] = [picked(it, "type", "events") for it in ranges if it.get("type") != "GIT"]
        for key in ["ecosystem_specific", "database_specific"]:
            part[key] = picked(affected.get(key) or {}, "severity", "cvss")
        short["affected"].append(part)
    short["database_specific"] = picked(entry.get("database_specific") or {}, "severity", "cvss")
    return short


def lines_of(ecosystem, archive):
    """The lines of each of the ecosystem's files, and the number of entries."""
    lines = {shard: [] for shard in SHARDS}
    count = 0
    for member in archive.namelist():
        if not member.endswith(".json"):
            continue
        entry = json.loads(archive.read(member))
        if entry.get("withdrawn"):
            continue
        count += 1
        text = json.dumps(shortened(entry), separators=(",", ":"))
        packages = [affected.get("package") or {} for affected in entry.get("affected") or []]
        # What follows a colon is a registry or a release: `Maven:https://repo.example.com`.
        own = [it for it in packages if it.get("ecosystem", "").split(":")[0] == ecosystem]
        for name in sorted({normal_name(ecosystem, it["name"]) for it in own}):
            if any(character in name for character in "\t\r\n"):
                raise SystemExit(f"{member} names a package {name!r}")
            lines[hashlib.sha256(name.encode()).hexdigest()[:3]].append(f"{name}\t{text}\n")
    return lines, count


def path_of(ecosystem, zips):
    """Where the archive of an ecosystem lies that was downloaded before."""
    return pathlib.Path(zips) / f"{ecosystem}.zip"


def opened(ecosystem, zips):
    """The archive of an ecosystem, as a file."""
    if zips:
        return open(path_of(ecosystem, zips), "rb")
    file = tempfile.TemporaryFile()
    with urllib.request.urlopen(SOURCE.format(ecosystem)) as answer:
        shutil.copyfileobj(answer, file)
    return file


def main():
    parser = argparse.ArgumentParser(description="Makes a snapshot of osv.dev.")
    parser.add_argument("--from", dest="zips", metavar="ZIPS", help="a folder with ECOSYSTEM.zip")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("ecosystems", nargs="+", choices=ECOSYSTEMS, metavar="ecosystem")
    wanted = parser.parse_args()
    # As old as the oldest of what it is made of.
    ages = [path_of(it, wanted.zips).stat().st_mtime for it in wanted.ecosystems if wanted.zips]
    made = int(min([time.time(), *ages]))
    if wanted.folder.exists():
        raise SystemExit(f"{wanted.folder} is there already: name a folder that is not")
    wanted.folder.mkdir(parents=True)
    for ecosystem in wanted.ecosystems:
        with opened(ecosystem, wanted.zips) as file, zipfile.ZipFile(file) as archive:
            lines, count = lines_of(ecosystem, archive)
        folder = wanted.folder / ecosystem
        folder.mkdir()
        for shard, own in lines.items():
            head = f"osv-snapshot {FORMAT} {ecosystem} {shard} {made} {len(own)}\n"
            (folder / f"{shard}.txt").write_text(head + "".join(own), "utf-8", newline="\n")
        print(f"{ecosystem}: {count} entries")
    # The last one: without it there is no snapshot.
    index = {"format": FORMAT, "made_at_s": made, "ecosystems": wanted.ecosystems}
    (wanted.folder / "snapshot.json").write_text(json.dumps(index) + "\n", "utf-8")


if __name__ == "__main__":
    main()
