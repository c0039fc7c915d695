"""The benchmarks work: a quick run of every row ends with its table, its results and its plots. Its figures mean
nothing."""
import json
import pathlib
import subprocess
import tempfile
import unittest

from kit import ROOT


class Benchmarks(unittest.TestCase):
    def test_a_quick_run_ends_with_its_table(self):
        with tempfile.TemporaryDirectory() as out:
            done = subprocess.run([ROOT / "benchmarks/run", "--quick", "--out", out], capture_output=True, text=True,
                                  timeout=900)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            results = json.loads((pathlib.Path(out) / "results.json").read_text())
            plots = {path.stem for path in pathlib.Path(out).glob("*.svg")}
        names = {(row["group"], row["name"]) for row in results["rows"]}
        for row in ROWS:
            self.assertIn(row, names)
            self.assertIn(row[1], done.stdout)
        self.assertEqual(plots, set(results["plots"]))


ROWS = (
    ("shards", "two shards: cost of that of one"),
    ("http", "bare loop: R"),
    ("http", "Kafka, fan-out 8: of the bare loop"),
    ("http", "embedded, fan-out 8: R"),
    ("tls", "one new connection, chain verified"),
    ("hosts", "256 hosts of our own at 64"),
    ("latency", "Kafka, 200 a second: p99 of the relay's"),
    ("latency", "embedded, 1,000 a second: p99"),
    ("idle", "start to readiness, embedded, empty view"),
    ("idle", "idle, embedded: of a core"),
    ("idle", "idle, Kafka: resident"),
    ("registered", "each of 1,000 registered endpoints, resident"),
    ("fan-out", "1 event to 200 endpoints: growth of memory, 256 KiB"),
    ("micro", "routing an event, 1,000 endpoints"),
    ("micro", "the next due delivery, 1,000 parked"),
    ("micro", "a delivery through a shard over fakes, 1,000 endpoints waiting"),
    ("fairness", "a tenant floods: with, of without"),
    ("fairness", "an endpoint is late: with, of without"),
    ("hanging", "a tenth hanging: p99 with"),
    ("hanging", "100 hanging: p99 with"),
)

if __name__ == "__main__":
    unittest.main()
