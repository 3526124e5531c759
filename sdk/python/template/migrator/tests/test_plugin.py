import sys
import unittest
from pathlib import Path

from windlass_plugin import Detection
from windlass_plugin.testing import Harness

HERE = Path(__file__).parent.parent
sys.path.insert(0, str(HERE / "src"))

import plugin  # noqa: E402 - it lies in src


class Migrates(unittest.TestCase):
    def test_it_runs_where_there_are_migrations_and_a_database(self):
        def migrations(*variables):
            harness = Harness(HERE / "fixtures/migrations/source", variables=variables)
            return harness.migrations(plugin, Detection("app", "an application", "any"), ["app"])

        self.assertEqual(migrations()[0].verdict.tag, "leave")
        found = migrations("DATABASE_URL")[0]
        self.assertEqual((found.argv[0], found.output), ("/app/bin/migrate", "app"))
        self.assertEqual(found.verdict.tag, "run")


if __name__ == "__main__":
    unittest.main()
