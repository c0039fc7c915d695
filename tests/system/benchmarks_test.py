"""The benchmarks work: a small run on both logs ends with its table. Its figures mean nothing."""
import subprocess
import unittest

from kit import ROOT


class Benchmarks(unittest.TestCase):
    def test_a_small_run_ends_with_its_table(self):
        done = subprocess.run([ROOT / "benchmarks/run", "--quick", "--wires", "http", "--fan-outs", "8"],
                              capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        for row in ("(a) bare loop", "(b) on embedded log", "(c) on Kafka", "p99 ms"):
            self.assertIn(row, done.stdout)


if __name__ == "__main__":
    unittest.main()
