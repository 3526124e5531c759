"""What a component is made of: its manifest, its section. The component itself is built and run by the tests of
the repository.
"""

import json
import tempfile
import unittest
from pathlib import Path

from windlass_plugin.build import BuildError, read_project, with_section

PROJECT = """
[project]
name = "windlass-plugin-books"
version = "1.2.3"
description = "Books"
license = "MIT"
"""
WINDLASS = """
[tool.windlass]
options_schema = { type = "object" }
failures = "failures.toml"

[[tool.windlass.capabilities]]
name = "http"
hosts = ["api.osv.dev"]
reason = "looks up advisories"

[[tool.windlass.custom]]
name = "scan"
hooks = ["after-build"]
summary = "Scans"
"""


class Build(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)

    def project(self, text, entry="src/plugin.py"):
        (self.root / "pyproject.toml").write_text(text)
        (self.root / "src").mkdir(exist_ok=True)
        (self.root / entry).write_text("")
        return read_project(self.root)

    def test_the_manifest_is_the_projects_with_what_it_says_of_windlass(self):
        failure = '[[failure]]\ncode = "books.none"\ntitle = "t"\ncause = "c"\nfix = "f"\n'
        (self.root / "failures.toml").write_text(failure)
        manifest, entry = self.project(PROJECT + WINDLASS)
        capability = {"name": "http", "hosts": ["api.osv.dev"], "reason": "looks up advisories"}
        expected = {
            "name": "books",
            "version": "1.2.3",
            "summary": "Books",
            "licence": "MIT",
            "capabilities": [capability],
            "options_schema": json.dumps({"type": "object"}),
            "failures": [{"code": "books.none", "title": "t", "cause": "c", "fix": "f"}],
            "custom": [{"name": "scan", "hooks": ["after-build"], "summary": "Scans"}],
        }
        self.assertEqual(manifest, expected)
        self.assertEqual(entry, self.root / "src/plugin.py")

    def test_what_is_wrong_is_said_with_the_fix(self):
        for text, message in [
            ("[project", "does not read"),
            (PROJECT.replace("windlass-plugin-books", "Books!"), "1 to 40 lower-case letters"),
            (PROJECT.replace('license = "MIT"', ""), "set license in .project.: an SPDX expression"),
            (PROJECT + "[tool.windlass]\ncapabilites = []", "no key capabilites; it has entry"),
            (PROJECT + '[tool.windlass]\nentry = "main.py"', "there is no .*main.py"),
        ]:
            with self.subTest(message), self.assertRaisesRegex(BuildError, message):
                self.project(text)

    def test_a_section_is_appended_to_a_component_and_to_nothing_else(self):
        component = b"\0asm\x0d\0\x01\0"
        self.assertEqual(with_section(component, "ab", "xyz")[8:], b"\0\x06\x02abxyz")
        self.assertEqual(with_section(component, "ab", "x" * 300)[8:12], b"\0\xaf\x02\x02")
        with self.assertRaisesRegex(BuildError, "no WebAssembly component"):
            with_section(b"\0asm\x01\0\0\0", "a", "b")
