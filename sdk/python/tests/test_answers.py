"""What stages return is checked against the contract, and what they leave out has its usual value."""

import tempfile
import types
import unittest
from typing import Any

from windlass_plugin import (
    Builder,
    Context,
    Detection,
    Detector,
    Evidence,
    PluginError,
    Toolchain,
    near_miss,
    notes,
    notes_of,
    options,
    plan,
    settings,
)
from windlass_plugin.shape import ShapeError
from windlass_plugin.stages import stages_of
from windlass_plugin.testing import Harness


def module(**classes: type) -> types.ModuleType:
    """A plugin's module with these classes."""
    made = types.ModuleType("plugin")
    vars(made).update(classes)
    return made


def detect(answer: Any) -> Any:
    class One(Detector):
        def detect(self, ctx, source):
            return answer

    with tempfile.TemporaryDirectory() as folder:
        return Harness(folder).detect(module(One=One))


def detection(**fields: Any) -> Detection:
    return Detection(**{"id": "a", "name": "A", "ecosystem": "test", **fields})


class Answers(unittest.TestCase):
    def test_a_detection_several_a_report_and_nothing_are_all_reports(self):
        self.assertEqual(detect(None).detections, [])
        self.assertEqual(detect(detection()).detections[0].confidence, 0)
        self.assertEqual(len(detect([detection(), detection()]).detections), 2)
        self.assertEqual(detect(near_miss("a", "why")).near_misses[0].reason, "why")

    def test_what_is_left_out_has_its_usual_value(self):
        one = detection(toolchains=[Toolchain("node")])
        self.assertEqual(one.toolchains[0].requirement, "")
        self.assertIsNone(one.app_dir)
        self.assertEqual(plan.Step("a", "a", plan.Base.scratch()).cwd, "/app")

    def test_a_value_of_the_wrong_shape_is_named_with_its_place(self):
        def broken(message: str, **fields: Any) -> None:
            with self.assertRaisesRegex(ShapeError, message):
                detect(detection(**fields))

        broken(r"detector.detect.detections\[0\].confidence: expected a whole number", confidence="9")
        broken(r"evidence\[0\].path: expected str, found 7", evidence=[Evidence(7)])
        broken(r"name: expected str, found a NoneType", name=None)
        with self.assertRaisesRegex(TypeError, "superceeds"):
            detection(superceeds=[])
        with self.assertRaisesRegex(ShapeError, "detector.detect: expected Report, found yes"):
            detect("yes")

    def test_a_failure_on_purpose_is_raised_and_a_refusal_travels_in_the_detection(self):
        refusal = PluginError("a.old", "it is old", hint="renew it")
        self.assertEqual(detect(detection(refusal=refusal)).detections[0].refusal, refusal)

        class Fails(Detector):
            def detect(self, ctx, source):
                raise refusal

        with self.assertRaises(PluginError) as raised:
            Harness(".").detect(module(Fails=Fails))
        self.assertEqual(raised.exception.code, "a.old")

    def test_one_class_may_fill_several_stages_and_two_not_one(self):
        class One(Detector, Builder):
            def detect(self, ctx, source):
                return None

            def plan(self, ctx, source, chosen):
                return plan.Plan()

        class Two(Detector):
            def detect(self, ctx, source):
                return None

        stages = stages_of(module(One=One, Detector=Detector))
        self.assertEqual([*stages], ["detector", "builder"])
        self.assertIs(stages["detector"], stages["builder"])
        with self.assertRaisesRegex(TypeError, "One and Two both derive from Detector"):
            stages_of(module(One=One, Two=Two))

    def test_a_plan_is_put_together_with_every_operation_and_mount(self):
        class Builds(Builder):
            def plan(self, ctx, source, chosen):
                mounts = [
                    plan.cache("npm", "/root/.npm"),
                    plan.secret("TOKEN", env="TOKEN"),
                    plan.bind("/src", from_step="x"),
                    plan.tmpfs("/tmp", bytes_max=1),
                ]
                ops = [
                    plan.copy(["package.json"], "/app/"),
                    plan.run(["npm", "ci"], network=True, env={"CI": "1"}, mounts=mounts),
                    plan.write_file("/etc/x", "x"),
                    plan.make_dir("/data"),
                    plan.fetch("https://example.com/a.tar", "/a.tar"),
                    plan.extract("/a.tar", "/a"),
                    plan.place(["."], "/b/", origin=plan.Placed.step("deps")),
                ]
                base = plan.Base.toolchains(plan.toolchains({"node": "22"}))
                copied = plan.copy_from("deps", ["/app/**"], "/app/")
                made = plan.Plan().step("deps", "install", base, ops)
                made.step("run", "collect", plan.Base.step("deps"), [copied])
                made.image("app", "run", env={"A": "1"}, user="1000:1000")
                made.web("web", "app", ["node", "server.js"], [3000])
                made.worker("worker", "app", ["node", "worker.js"])
                return made.uses({"node": "22.11.0"})

        made = Harness(".").plan(module(Builds=Builds), detection())
        self.assertEqual(made.steps[0].ops[1].value.mounts[0].value.sharing, plan.Sharing.LOCKED)
        self.assertEqual(made.steps[1].ops[0].value.origin, plan.Origin.step("deps"))
        self.assertEqual(made.outputs[0].artifact.value.config.env, [("A", "1")])
        self.assertEqual([one.kind.value for one in made.processes], ["web", "worker"])
        self.assertEqual(made.toolchains, [Toolchain("node", "22.11.0")])

    def test_settings_and_options_are_read_and_what_does_not_read_is_named(self):
        given = '{"build":{"toolchain":{"node":"22"}},"run":{"port":3000},"migrate":false,"new":1}'
        every = settings(Context(config_json=given))
        self.assertEqual(every.build.toolchain, {"node": "22"})
        self.assertEqual((every.run.port, every.run.command), (3000, None))
        self.assertTrue(every.migrate.off)
        self.assertIsNone(settings(Context(config_json="")).health.path)
        with self.assertRaisesRegex(PluginError, "run.port"):
            settings(Context(config_json='{"run":{"port":"x"}}'))
        self.assertEqual(options(Context(options_json='{"a":1}')), {"a": 1})
        with self.assertRaises(PluginError) as raised:
            options(Context(options_json="[]"))
        self.assertEqual(raised.exception.code, "options.invalid")

    def test_notes_go_from_the_detector_to_the_builder_and_others_are_refused(self):
        self.assertEqual(notes_of(detection(notes_json=notes({"a": 1}))), {"a": 1})
        with self.assertRaises(PluginError) as raised:
            notes_of(detection())
        self.assertEqual(raised.exception.code, "notes.invalid")
