"""The mock host keeps the rules of the real one."""

import os
import tempfile
import unittest
from pathlib import Path

from test_answers import module
from windlass_plugin import (
    Custom,
    HostError,
    PluginError,
    Schedule,
    Withheld,
    annotations,
    artifacts,
    cache,
    done,
    exec,
    http,
    inputs_of,
)
from windlass_plugin.contract.custom import Facts, Input, Overlap
from windlass_plugin.glob import compiled
from windlass_plugin.testing import Harness, answered, ended


class Stages(Custom):
    def run(self, stage, ctx, source, facts, inputs):
        if stage == "command":
            wanted = exec.in_output("app", ["sh", "-c", "x"], env={"A": "1"}, stdin=b"in")
            exit = exec.run(wanted)
            lines = []
            exec.spawn(wanted).each_line(lambda line: lines.append(line.text))
            return done(f"{exit.code}: {'|'.join(lines)}")
        if stage == "request":
            try:
                answer = http.fetch("POST", "https://api.example.com/x", json={"a": 1})
            except HostError as error:
                raise http.failure(error) from None
            return done(f"{answer.status} {http.text(answer)}")
        if stage == "clean":
            nightly = Schedule("nightly", "0 3 * * *", argv=["bin/clean"], overlap=Overlap.QUEUE)
            return done("cleans", schedules=[nightly], withheld=[Withheld("site", ["**/*.map"])])
        before = cache.get("files")
        cache.put("files", "2")
        annotations.note("files", 2, annotations.Tone.GOOD)
        artifacts.attach("a.txt", artifacts.Kind.REPORT, "text/plain", "x" * (3 << 20))
        return done(f"#{facts.number}: {before} {inputs_of(inputs[0])['n']}", {"n": 2})


PLUGIN = module(Stages=Stages)
INPUT = Input("files", "p", "s", '{"n":7}')


class Host(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)

    def put(self, path, text=""):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def test_nothing_outside_the_source_is_read(self):
        self.put("outside", "secret")
        self.put("source/inside/file", "12345")
        os.symlink("../outside", self.root / "source/out")
        os.symlink("inside/file", self.root / "source/in")

        def reads(source, path):
            try:
                return source.read(path)
            except HostError as error:
                return error.reason

        paths = ["../outside", "/etc/passwd", "out", "in", "inside", "absent"]
        harness = Harness(self.root / "source")
        seen = harness.run(lambda source: [reads(source, path) for path in paths])
        self.assertEqual(seen, ["denied", "denied", "denied", b"12345", "not-a-file", "not-found"])

    def test_a_listing_is_sorted_below_the_application_and_without_git(self):
        for path in ("app/b/c.html", "app/a.html", "app/d.txt", "app/.git/config", "other/e.html"):
            self.put(path)
        harness = Harness(self.root, app_dir="app")

        def files(*globs):
            return harness.run(lambda source: source.files(globs))

        self.assertEqual(files(), ["a.html", "b/c.html", "d.txt"])
        self.assertEqual(files("*.html"), ["a.html"])
        self.assertEqual(files("**/*.html"), ["a.html", "b/c.html"])
        shallow = harness.run(lambda source: source.list(max_depth=1, limit=2))
        self.assertEqual([entry.path for entry in shallow.entries], ["a.html", "b"])
        self.assertTrue(shallow.truncated)
        with self.assertRaises(PluginError):
            files("[a")
        self.assertEqual(Harness(self.root, app_dir="absent").run(lambda one: one.files()), [])

    def test_a_file_is_asked_for_once_and_a_broken_one_is_named_with_its_place(self):
        self.put("app.json", "{\n oops")
        self.put("b.json", '\ufeff{"a":1}')

        def work(source):
            source.prefetch(["app.json", "b.json"])
            (self.root / "b.json").unlink()
            self.assertEqual(source.json("b.json"), {"a": 1})
            with self.assertRaisesRegex(PluginError, "app.json.*line 2"):
                source.json("app.json")
            self.assertIsNone(source.json("absent.json"))
            self.assertTrue(source.exists("app.json") and not source.is_file("absent.json"))

        Harness(self.root).run(work)

    def test_globs_cross_folders_only_with_two_stars(self):
        def fits(glob, path):
            return compiled(glob).fullmatch(path) is not None

        self.assertTrue(fits("**/*.js", "a.js") and fits("**/*.js", "a/b/c.js"))
        self.assertTrue(fits("src/**", "src/a/b") and fits("{a,b}/?.[jt]s", "b/x.ts"))
        self.assertFalse(fits("*.js", "a/b.js") or fits("[!a].js", "a.js") or fits("a.b", "axb"))
        self.assertTrue(fits("a\\*", "a*") and not fits("a\\*", "ab"))

    def test_what_a_custom_stage_does_comes_back_with_its_answer(self):
        harness = Harness(self.root, cached={"files": b"1"})
        ran = harness.custom(PLUGIN, "report", Facts(number=4), [INPUT])
        self.assertEqual(ran.outcome.summary, "#4: b'1' 7")
        self.assertEqual(ran.outcome.outputs_json, '{"n":2}')
        artifact, content = ran.done.artifacts["a.txt"]
        self.assertEqual((artifact.title, len(content)), ("a.txt", 3 << 20))
        self.assertEqual(ran.done.annotations["files"].value, "2")
        self.assertEqual(ran.done.cache["files"], b"2")

    def test_schedules_and_withheld_files_are_part_of_the_answer(self):
        outcome = Harness(self.root).custom(PLUGIN, "clean").outcome
        [nightly] = outcome.schedules
        self.assertEqual((nightly.name, nightly.argv), ("nightly", ["bin/clean"]))
        self.assertEqual((nightly.timezone, nightly.timeout_ms), (None, 0))
        self.assertEqual(nightly.overlap, Overlap.QUEUE)
        self.assertEqual(outcome.withheld, [Withheld("site", ["**/*.map"])])

    def test_commands_and_requests_are_answered_as_the_test_says_and_others_are_denied(self):
        harness = Harness(
            self.root,
            commands=[(["sh", "-c"], ended(3, "one\ntwo\n"))],
            requests=[("POST", "https://api.example.com/", answered(200, "fine"))],
        )
        ran = harness.custom(PLUGIN, "command")
        self.assertEqual(ran.outcome.summary, "3: one|two")
        self.assertEqual(ran.done.commands[0].env, [("A", "1")])
        sent = harness.custom(PLUGIN, "request")
        self.assertEqual(sent.outcome.summary, "200 fine")
        self.assertEqual(sent.done.requests[0].headers, [("content-type", "application/json")])
        with self.assertRaisesRegex(PluginError, "no answer was given") as raised:
            Harness(self.root).custom(PLUGIN, "request")
        self.assertFalse(raised.exception.retryable)

    def test_what_is_not_granted_is_denied_and_says_which_capability(self):
        harness = Harness(self.root, denied=["artifacts", "annotations"])
        with self.assertRaisesRegex(HostError, "artifacts is not granted"):
            harness.custom(PLUGIN, "report", inputs=[INPUT])
        self.assertIn("files was not noted", harness.log[0][1])
