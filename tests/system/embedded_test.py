"""The whole on the embedded log: one machine, no Kafka."""
import json
import shutil
import signal
import subprocess
import time
import unittest

from cases import OnEitherLog, Whole
from kit import run_tool, until


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


    def test_a_record_that_kills_the_daemon_three_times_is_set_aside(self):
        # A payload that kills whoever parses it. A replay carries it sealed: it is parsed where `events` is decoded,
        # and nowhere before.
        trap = self.place() / "trap.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "-o", trap, "-", "-ldl"], input=TRAP, text=True, check=True)
        trapped = {"LD_PRELOAD": str(trap)}
        daemon = self.started()
        answers = {"first": 404}
        receiver = self.receiver(lambda n, webhook_id: answers.get("first", 200))
        daemon.apply({"main": (receiver.url, {})})
        daemon.publish("--tenant", "acme", "--type", "order.created", "--id", "deadly", "--source", "/shop", "--data", "-",
                       stdin='{"note": "KILL-WHOEVER-PARSES-THIS"}')
        letters = lambda: [json.loads(line) for line in daemon.ops("--json", "dead-letters", "list").out.splitlines()]
        letter = until(letters, 30, "the dead letter")[0]
        answers.clear()
        daemon.stop()

        daemon.start(env=trapped)
        daemon.ops("replay", letter["delivery_id"])  # its answer may be lost with the daemon
        for life in range(1, 4):
            self.assertEqual(daemon.process.wait(30), -signal.SIGABRT, f"death {life}")
            daemon.start(ready=False, env=trapped)
        daemon.wait_ready()
        died = [line["message"] for line in daemon.lines() if line.get("operation") == "died_decoding"]
        self.assertEqual(len(died), 3, died)
        aside = until(lambda: [one for one in letters() if one["reason"] == "crashed_decoder"], 30, "its dead letter")
        self.assertEqual(len(aside), 1)
        self.assertEqual(len([1 for line in daemon.lines() if line.get("operation") == "record_suspect"]), 1)
        # The partition goes on, now and after a restart.
        for name in ("after", "later"):
            daemon.publish("--tenant", "acme", "--type", "order.created", "--id", name, "--source", "/shop", "--data", "-",
                           stdin="{}")
            until(lambda: any(one["headers"].get("ce-id") == name for one in receiver.arrivals), 30, name)
            daemon.stop()
            daemon.start(env=trapped)
        self.assertEqual(len([1 for line in daemon.lines() if line.get("operation") == "record_suspect"]), 1)


# Loaded before libprotobuf: MessageLite::ParseFromArray(void const*, int) dies of these bytes.
TRAP = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
int _ZN6google8protobuf11MessageLite14ParseFromArrayEPKvi(void* self, const void* data, int size) {
  static int (*next)(void*, const void*, int);
  if (memmem(data, (size_t)size, "KILL-WHOEVER-PARSES-THIS", 24)) abort();
  if (!next) next = (int (*)(void*, const void*, int))dlsym(RTLD_NEXT,
      "_ZN6google8protobuf11MessageLite14ParseFromArrayEPKvi");
  return next(self, data, size) & 1;
}
"""


if __name__ == "__main__":
    unittest.main(verbosity=2)
