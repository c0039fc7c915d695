"""The whole on the embedded log: one machine, no Kafka."""
import json
import shutil
import time
import unittest

from cases import OnEitherLog, Whole
from kit import run_tool


class Embedded(OnEitherLog, Whole):
    def started(self):
        daemon = self.daemon().start()
        daemon.wait_token()
        return daemon

    def publish(self, daemon, *words, **more):
        return daemon.publish(*words, **more)

    def publishing_through_crashes(self, pool, daemon, file):
        """A producer that publishes again under the same id what was not acknowledged: a repeat is dropped."""
        def all_of_it():
            lines = file.read_text().splitlines()
            done = {}
            while len(done) < len(lines):
                rest = [line for line in lines if json.loads(line)["id"] not in done]
                part = daemon.directory / "rest.jsonl"
                part.write_text("\n".join(rest) + "\n")
                ran = run_tool("postrider-publish", "--to", daemon.api, "--token-file", daemon.token_file,
                               "--environment", daemon.environment, "--json", "--file", part, timeout=300)
                for line in ran.out.splitlines():
                    said = json.loads(line)
                    done[said["id"]] = said
                if ran.code != 0:
                    time.sleep(0.2)
            return list(done.values())
        return pool.submit(all_of_it)

    def test_ten_kills_lose_nothing(self):
        self.crash(2000, 10)

    def test_two_daemons_cannot_share_a_directory(self):
        daemon = self.started()
        other = run_tool("postriderd", "--config", daemon.config)
        self.assertEqual(other.code, 2)
        self.assertIn("suggestion", json.loads(other.err.splitlines()[-1]))

    def test_a_view_of_another_log_is_built_anew(self):
        daemon = self.started()
        daemon.stop()
        shutil.rmtree(daemon.directory / "log")
        daemon.start()
        self.assertTrue(any(line.get("operation") == "view_wiped" for line in daemon.lines()))


if __name__ == "__main__":
    unittest.main(verbosity=2)
