import sys
import unittest
from pathlib import Path

from windlass_plugin import Detection
from windlass_plugin.health import Observation, Outcome, Process
from windlass_plugin.testing import Harness

HERE = Path(__file__).parent.parent
sys.path.insert(0, str(HERE / "src"))

import plugin  # noqa: E402 - it lies in src


class Judges(unittest.TestCase):
    def test_errors_in_a_row_end_it_and_a_single_one_does_not(self):
        harness = Harness(HERE / "fixtures/web/source")
        chosen = Detection("app", "an application", "any")
        policy = harness.policy(plugin, chosen, [Process("web", True, 3000)])
        self.assertEqual(policy.probes[0].value.path, "/ready")

        def judge(status, times):
            one = Observation(probe=0, at_ms=0, took_ms=1, outcome=Outcome.status(status))
            return harness.judge(plugin, policy, [one] * times).tag

        self.assertEqual(judge(200, 1), "pass")
        self.assertEqual(judge(500, 1), "wait")
        self.assertEqual(judge(500, 10), "fail")


if __name__ == "__main__":
    unittest.main()
