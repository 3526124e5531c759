import sys
import unittest
from pathlib import Path

from windlass_plugin.contract.rollout import Sample, State
from windlass_plugin.testing import Harness

HERE = Path(__file__).parent.parent
sys.path.insert(0, str(HERE / "src"))

import plugin  # noqa: E402 - it lies in src


def decide(weight, at_weight_ms, errors):
    serving, candidate = (Sample(1_000, failed, 900, 9_000) for failed in (2, errors))
    state = State(weight, at_weight_ms, at_weight_ms, serving, candidate)
    decision = Harness(".").next(plugin, state)
    return decision.value if decision.tag == "shift" else decision.tag


class Moves(unittest.TestCase):
    def test_the_share_grows_while_nothing_gets_worse(self):
        self.assertEqual(decide(0, 0, 0), 100)
        self.assertEqual(decide(100, 59_000, 2), "hold")
        self.assertEqual(decide(100, 60_000, 2), 1_000)
        self.assertEqual(decide(10_000, 60_000, 2), "finish")

    def test_more_errors_than_before_end_it(self):
        self.assertEqual(decide(1_000, 2_000, 10), "hold")
        self.assertEqual(decide(1_000, 2_000, 20), "abort")


if __name__ == "__main__":
    unittest.main()
