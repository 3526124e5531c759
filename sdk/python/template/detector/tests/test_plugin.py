import sys
import unittest
from pathlib import Path

from windlass_plugin.testing import Harness

HERE = Path(__file__).parent.parent
sys.path.insert(0, str(HERE / "src"))

import plugin  # noqa: E402 - it lies in src


class MdBook(unittest.TestCase):
    def test_a_built_book_is_served(self):
        chosen, plan = Harness(HERE / "fixtures/book/source").detect_and_plan(plugin)
        self.assertEqual(chosen.id, "mdbook")
        self.assertEqual(plan.outputs[0].artifact.value.root, "/site/book")
        self.assertEqual(plan.processes, [])

    def test_a_book_without_its_pages_is_a_near_miss(self):
        report = Harness(HERE / "fixtures/not-built/source").detect(plugin)
        self.assertEqual(report.detections, [])
        self.assertIn("mdbook build", report.near_misses[0].reason)


if __name__ == "__main__":
    unittest.main()
