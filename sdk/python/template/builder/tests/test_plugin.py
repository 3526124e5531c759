import sys
import unittest
from pathlib import Path

from windlass_plugin import PluginError
from windlass_plugin.testing import Harness

HERE = Path(__file__).parent.parent
sys.path.insert(0, str(HERE / "src"))

import plugin  # noqa: E402 - it lies in src


class Builds(unittest.TestCase):
    def test_what_the_file_says_is_built_and_run(self):
        _, plan = Harness(HERE / "fixtures/server/source").detect_and_plan(plugin)
        self.assertEqual(plan.processes[0].argv[2], "exec ./server.sh")
        self.assertEqual(plan.processes[0].ports, [8080])

    def test_the_settings_win(self):
        settings = {"run": {"command": "./other.sh", "port": 9000}}
        harness = Harness(HERE / "fixtures/server/source", settings=settings)
        _, plan = harness.detect_and_plan(plugin)
        self.assertEqual(plan.processes[0].argv[2], "exec ./other.sh")
        self.assertEqual(plan.processes[0].ports, [9000])

    def test_without_a_command_it_says_what_to_do(self):
        with self.assertRaises(PluginError) as raised:
            Harness(HERE / "fixtures/no-command/source").detect_and_plan(plugin)
        self.assertEqual(raised.exception.code, "my-plugin.no-command")
        self.assertIn("run.command", raised.exception.hint)


if __name__ == "__main__":
    unittest.main()
