"""The one command that a newcomer runs."""
import os
import subprocess
import unittest

from kit import ROOT


class Quickstart(unittest.TestCase):
    def quickstart(self, *words):
        return subprocess.run([ROOT / "ops/quickstart", *words], text=True, capture_output=True, timeout=900,
                              stdin=subprocess.DEVNULL, env=os.environ)

    def test_on_the_embedded_log(self):
        done = self.quickstart()
        self.assertEqual(done.returncode, 0, done.stdout[-3000:] + done.stderr[-3000:])

    def test_on_a_real_kafka(self):
        done = self.quickstart("--kafka")
        self.assertEqual(done.returncode, 0, done.stdout[-3000:] + done.stderr[-3000:])


if __name__ == "__main__":
    unittest.main(verbosity=2)
