import sys
import unittest
from pathlib import Path

from windlass_plugin import PluginError
from windlass_plugin.testing import Harness

HERE = Path(__file__).parent.parent
sys.path.insert(0, str(HERE / "src"))

import plugin  # noqa: E402 - it lies in src

KEY = HERE / "fixtures/key/source"


class Looks(unittest.TestCase):
    def test_a_private_key_is_named_with_its_file(self):
        with self.assertRaisesRegex(PluginError, "deploy.pem") as raised:
            Harness(KEY).custom(plugin, "keys")
        self.assertEqual(raised.exception.code, "my-plugin.private-key")

    def test_what_is_allowed_may_be_there(self):
        ran = Harness(KEY, options={"allow": ["deploy.pem"]}).custom(plugin, "keys")
        self.assertEqual(ran.outcome.summary, "there is no private key")
        self.assertEqual(ran.done.annotations["keys"].value, "none; files looked into: 1")


if __name__ == "__main__":
    unittest.main()
