"""The default policy and judge decide as those of the SDK for Rust do."""

import unittest

from test_answers import detection, module
from windlass_plugin import Health, HealthCheck, PluginError
from windlass_plugin.health import Observation, Outcome, Process, StatusRange
from windlass_plugin.testing import Harness


class Usual(Health):
    pass


PLUGIN = module(Usual=Usual)
WEB = Process("web", True, 3000)
WORKER = Process("worker", False)


def policy(processes, **health):
    return Harness(".", settings={"health": health}).policy(PLUGIN, detection(), processes)


def judge(of, *seen):
    observations = [
        Observation(probe=probe, at_ms=at[0] if at else 0, took_ms=1, outcome=outcome)
        for probe, outcome, *at in seen
    ]
    return Harness(".").judge(PLUGIN, of, observations)


class Defaults(unittest.TestCase):
    def test_without_a_path_three_are_tried_with_one_it_alone(self):
        usual = policy([WEB])
        paths = [probe.value.path for probe in usual.probes]
        self.assertEqual(paths, ["/health", "/healthz", "/"])
        self.assertEqual(usual.budget_ms, 300_000)
        own = policy([WEB], path="/up", status="200,204-206", timeout="5m")
        self.assertEqual([probe.value.path for probe in own.probes], ["/up"])
        self.assertEqual(own.pass_status, [StatusRange(200, 200), StatusRange(204, 206)])

    def test_an_images_own_check_is_the_probe_and_workers_alone_must_stay_up(self):
        line = "curl -f localhost"
        check = HealthCheck(["CMD-SHELL", line], start_period_ms=60_000, timeout_ms=3_000)
        own = policy([Process("web", True, 3000, check), WORKER])
        self.assertEqual([probe.tag for probe in own.probes], ["command"])
        self.assertEqual(own.probes[0].value.argv, ["/bin/sh", "-c", line])
        self.assertEqual((own.budget_ms, own.timeout_ms), (360_000, 3_000))
        self.assertEqual(policy([WORKER]).probes[0].tag, "stays-up")
        none = Process("web", True, 3000, HealthCheck(["NONE"]))
        self.assertEqual(len(policy([none]).probes), 3)

    def test_settings_that_do_not_read_are_refused_with_their_codes(self):
        broken = [{"path": "up"}, {"path": "/a b"}, {"status": "20"}, {"status": "300-200"}]
        for health in [*broken, {"timeout": "5"}, {"timeout": "0s"}, {"timeout": "5 parsecs"}]:
            with self.subTest(health), self.assertRaises(PluginError) as raised:
                policy([WEB], **health)
            self.assertTrue(raised.exception.code.startswith("health."))

    def test_the_verdict_waits_moves_on_passes_and_fails(self):
        usual = policy([WEB])
        lost = Outcome.status(404)
        self.assertEqual(judge(usual).tag, "wait")
        self.assertEqual(judge(usual, (0, Outcome.refused())).tag, "wait")
        self.assertEqual(judge(usual, (0, Outcome.status(200))).tag, "pass")
        self.assertEqual(judge(usual, (0, Outcome.status(401))).tag, "pass")
        self.assertEqual(judge(usual, (0, lost)).tag, "next")
        verdict = judge(usual, (0, lost), (1, lost), (2, lost))
        self.assertIn("404 on /health, /healthz, /: set health.path", verdict.value)
        self.assertIn("web exited with status 3", judge(usual, (0, Outcome.exited(3))).value)
        self.assertIn("ran out of memory", judge(usual, (0, Outcome.out_of_memory())).value)
        late = judge(usual, (0, Outcome.status(500), 300_000))
        self.assertIn("not healthy after 300 s: web: GET /health", late.value)
        wrong = Outcome.wrong_address()
        verdict = judge(usual, (0, wrong, 0), (0, wrong, 10_000))
        self.assertIn("listen on 0.0.0.0", verdict.value)

    def test_every_process_has_to_pass(self):
        check = HealthCheck(["CMD", "check"])
        both = policy([Process("web", True, 3000, check), Process("worker", False, None, check)])
        self.assertEqual(judge(both, (0, Outcome.ok())).tag, "next")
        self.assertEqual(judge(both, (0, Outcome.ok()), (1, Outcome.ok())).tag, "pass")
