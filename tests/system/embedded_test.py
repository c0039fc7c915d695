"""The whole on the embedded log: one machine, no Kafka."""
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import time
import unittest
import zlib

from cases import OnEitherLog, Whole
from kit import BUILD, SECRET, metric, run_tool, until


class Embedded(OnEitherLog, Whole):
    def started(self, top=""):
        daemon = self.daemon(extra=top).start()
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

    def test_the_api_over_mutual_tls(self):
        client = self.authority.client("operator")
        daemon = self.daemon(tls=True, client=client, extra='---\n[api]\nprobes = "127.0.0.1:0"\n').start()
        daemon.wait_token()
        receiver = self.receiver()
        daemon.apply({"main": (receiver.url, {})})
        daemon.publish("--tenant", "acme", "--type", "order.created", "--data", "-", stdin="{}")
        until(receiver.delivered, 60, "the delivery")
        stranger = run_tool("postrider-ops", "--api", daemon.api, "--ca", self.authority.ca, "--token-file",
                            daemon.token_file, "endpoints", "list")
        self.assertEqual(stranger.code, 3, stranger)
        self.assertIn("--client-cert", stranger.err)
        # Whoever has no certificate finds health and metrics at loopback, and nothing else.
        said = next(line for line in daemon.lines() if line["operation"] == "started")
        probes = http.client.HTTPConnection("127.0.0.1", said["probes"], timeout=10)
        for path, status in (("/healthz", 200), ("/readyz", 200), ("/metrics", 200), ("/v1/endpoints", 404)):
            probes.request("GET", path, headers={"Authorization": "Bearer " + daemon.token_file.read_text().strip()})
            answer = probes.getresponse()
            self.assertEqual((path, answer.status), (path, status))
            answer.read()
        probes.close()
        self.assertEqual(daemon.stop(), 0)

    def test_shards_that_get_no_partition_are_told_at_the_start(self):
        daemon = self.started(top="shards = 4\n")
        idle = lambda: [line for line in daemon.lines() if line["operation"] == "shards_idle"]
        self.assertEqual(daemon.stop(), 0)
        self.assertEqual(idle(), [])
        daemon.extra = daemon.extra.replace("shards = 4\n", "shards = 6\n")
        daemon.write_config()
        daemon.start()
        self.assertEqual(daemon.stop(), 0)
        self.assertEqual([line["level"] for line in idle()], ["warn"])
        self.assertIn("only 4 partitions", idle()[0]["message"])

    def test_what_expires_while_its_endpoint_is_disabled_is_a_dead_letter(self):
        daemon = self.daemon(extra='---\nlifetime_max = "10s"\n').start()
        daemon.wait_token()
        receiver = self.receiver()
        daemon.apply({"main": (receiver.url, {"retry": '["1s"]'})})
        self.assertEqual(daemon.ops("endpoints", "disable", "acme", "main", "--why", "they asked").code, 0)
        self.publish(daemon, "--file", daemon.publish_many(20, "held"))
        begin = time.monotonic()
        letters = until(lambda: len(found := self.dead_letters(daemon)) == 20 and found, 60, "the dead letters")
        self.assertGreater(time.monotonic() - begin, 8)
        self.assertEqual({letter["reason"] for letter in letters}, {"endpoint_disabled"})
        self.assertEqual(receiver.count(), 0)
        # Nothing was lost: once it is enabled they are replayed.
        self.assertEqual(daemon.ops("endpoints", "enable", "acme", "main").code, 0)
        done = daemon.ops("replay", "--tenant", "acme", "--reason", "endpoint_disabled")
        self.assertEqual(done.code, 0, done)
        until(lambda: len(receiver.ids()) == 20, 60, "the replay")

    def test_a_suspended_tenant_is_sent_nothing_until_it_goes_on(self):
        daemon = self.started()
        receiver = self.receiver()
        daemon.apply({"main": (receiver.url, {}), "other": (receiver.url, {"tenant": '"other"'})})
        said = daemon.directory / "tenant.json"

        def say(**what):
            said.write_text(json.dumps({"name": "Acme Ltd", **what}))
            return daemon.ops("tenants", "put", "acme", said)

        self.assertEqual(say(suspended=True).code, 0)
        self.assertIn("Acme Ltd", daemon.ops("tenants", "list").out)
        self.publish(daemon, "--file", daemon.publish_many(20, "held", tenants=("acme", "other")))
        until(lambda: len(receiver.ids()) == 10, 60, "the other tenant's")
        self.assertEqual(self.state(daemon)["why"], "its tenant is suspended")
        until(lambda: self.state(daemon)["held"] == 10, 60, "what is held")
        self.assertEqual(daemon.stop(), 0)
        daemon.start()
        refused = daemon.ops("tenants", "delete", "acme", "--yes")
        self.assertNotEqual(refused.code, 0)
        self.assertIn("TENANT_IN_USE", refused.err + refused.out)
        self.assertEqual(receiver.count(), 10)
        self.assertEqual(say(suspended=False).code, 0)
        until(lambda: len(receiver.ids()) == 20, 60, "what was held")

    def test_data_that_break_the_schema_of_their_type_are_refused_and_the_rest_is_delivered(self):
        daemon = self.started()
        receiver = self.receiver()
        daemon.apply({"main": (receiver.url, {})})
        described = daemon.directory / "type.json"
        described.write_text(json.dumps({"version": "1.0", "classification": "confidential", "schema": {
            "type": "object", "required": ["number"], "additionalProperties": False,
            "properties": {"number": {"type": "integer"}, "code": {"type": "string", "pattern": "^(a+)+$"}}}}))
        self.assertEqual(daemon.ops("event-types", "put", "order.created", described).code, 0)
        self.assertIn("confidential", daemon.ops("event-types", "list", "--tenant", "acme").out)
        self.publish(daemon, "--file", daemon.publish_many(3, "good"))
        for data in ({"number": "SECRET"}, {"number": 1, "code": "a" * 200_000 + "SECRET"}, {"number": 1, "SECRET": 1}):
            file = daemon.publish_many(1, "bad", data=data)
            done = run_tool("postrider-publish", "--to", daemon.api, "--token-file", daemon.token_file,
                            "--environment", daemon.environment, "--file", file)
            self.assertNotEqual(done.code, 0)
            self.assertIn("SCHEMA_VIOLATION", done.err + done.out)
        self.assertNotIn("SECRETa", done.err)
        self.publish(daemon, "--file", daemon.publish_many(1, "other", "order.paid", {"number": "anything"}))
        until(lambda: len(receiver.delivered()) == 4, 60, "what is as it shall be")
        self.assertEqual(receiver.count(), 4)
        bad = daemon.directory / "bad.json"
        bad.write_text(json.dumps({"schema": {"properties": {"u": {"format": "uri"}}}}))
        refused = daemon.ops("event-types", "put", "order.paid", bad)
        self.assertNotEqual(refused.code, 0)
        self.assertIn("INVALID_SCHEMA", refused.err + refused.out)
        self.assertIn("#/properties/u/format", refused.err + refused.out)

    def asks_tenants(self):
        """Not in development, where a receiver on loopback would not be asked."""
        daemon = self.daemon(environment="staging")
        daemon.guard += '\nchallenge = "tenants"'
        daemon.write_config()
        self.assertEqual(run_tool("postrider-ops", "keys", "new", daemon.key).code, 0)
        daemon.start()
        daemon.wait_token()
        made = daemon.ops("--json", "tokens", "create", "--name", "acme", "--tenant", "acme", "--role", "admin")
        self.assertEqual(made.code, 0, made)
        return daemon, json.loads(made.out)["token"]

    def declare(self, daemon, token, url):
        connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=30)
        self.closing.append(connection.close)
        connection.request("PUT", "/v1/tenants/acme/endpoints/main", json.dumps({"url": url, "secrets": [SECRET]}),
                           {"Authorization": "Bearer " + token, "Content-Type": "application/json"})
        answer = connection.getresponse()
        said = answer.read().decode()
        self.assertEqual(answer.status, 201, said)
        self.assertIn("unverified", said)

    def state(self, daemon):
        return json.loads(daemon.ops("--json", "endpoints", "show", "acme", "main").out)

    def test_a_tenants_endpoint_gets_nothing_until_somebody_who_can_read_there_has_proven_it(self):
        daemon, token = self.asks_tenants()
        receiver = self.receiver(lambda n, webhook_id: 200)  # it takes anything, and gives nothing back
        self.declare(daemon, token, receiver.url)
        self.publish(daemon, "--file", daemon.publish_many(5, "held"))
        until(lambda: "without the challenge" in (self.state(daemon)["why"] or ""), 60, "what it answered")
        self.assertEqual(self.state(daemon)["state"], "unverified")
        challenges = [arrival["headers"].get("webhook-challenge") for arrival in receiver.arrivals]
        self.assertNotIn(None, challenges, "an event went out")
        self.assertTrue(all(arrival["verified"] for arrival in receiver.arrivals))
        daemon.kill()
        daemon.start()  # the state is a fact
        self.assertEqual(self.state(daemon)["state"], "unverified")
        wrong = daemon.ops("endpoints", "verify", "acme", "main", "--challenge", "chl_0000000000000000000000")
        self.assertIn("WRONG_CHALLENGE", wrong.err + wrong.out)
        self.assertEqual(daemon.ops("endpoints", "verify", "acme", "main", "--challenge", challenges[0]).code, 0)
        held = lambda: [a for a in receiver.arrivals if "webhook-challenge" not in a["headers"]]
        until(lambda: len(held()) == 5, 60, "what was held")
        self.assertEqual(self.state(daemon)["state"], "healthy")

    def test_postrider_receive_proves_its_endpoint(self):
        daemon, token = self.asks_tenants()
        with subprocess.Popen([BUILD / "postrider-receive", "--listen", "127.0.0.1:0", "--secret", "env:TEST_SECRET",
                               "--tls", self.authority.cert, self.authority.key], stdout=subprocess.PIPE, text=True,
                              env={**os.environ, "TEST_SECRET": SECRET}) as receiver:
            self.closing.append(receiver.kill)
            url = re.search(r"https://\S+", receiver.stdout.readline()).group(0)
            self.declare(daemon, token, url)
            until(lambda: self.state(daemon)["state"] == "healthy", 60, "the proof")
            self.publish(daemon, "--file", daemon.publish_many(1, "after"))
            until(lambda: "order.created" in receiver.stdout.readline(), 60, "the event")
            receiver.kill()

    def test_a_full_disk_is_told_and_over_once_there_is_room(self):
        daemon = self.daemon()
        daemon.data.mkdir(mode=0o700)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,mode=0700", "tmpfs", daemon.data],
                                 capture_output=True, text=True)
        if mounted.returncode != 0:
            self.skipTest(f"cannot mount a small disk here: {mounted.stderr}")
        self.closing.insert(0, lambda: subprocess.run(["umount", "-l", daemon.data]))
        daemon.start()
        daemon.wait_token()
        # What fails is parked, and its payload kept beside it.
        receiver = self.receiver(lambda n, webhook_id: 503 if n == 1 and zlib.crc32(webhook_id.encode()) % 3 == 0 else 200)
        daemon.apply({"main": (receiver.url, {"retry": '["1s", "1s", "1s"]'})})
        self.publish(daemon, "--file", daemon.publish_many(50, "before"))
        until(lambda: len(receiver.delivered()) == 50, 60, "what came before")
        with open(daemon.data / "filler", "wb") as filler:
            try:
                while filler.write(bytes(1 << 16)):
                    filler.flush()
            except OSError:
                pass  # it is full
        self.publish(daemon, "--file", daemon.publish_many(300, "meanwhile", data={"text": "x" * 100_000}))
        status, said = until(lambda: (answer := daemon.get("/readyz"))[0] == 503 and answer, 60, "the complaint")
        self.assertIn("No space left", said)
        until(lambda: any("DISK_FULL" in json.dumps(line) for line in daemon.lines()), 10, "its line")
        broken = lambda: metric(daemon.get("/metrics")[1], "postrider_view_broken")
        until(lambda: broken() == 1, 10, "its metric")
        (daemon.data / "filler").unlink()
        until(lambda: len(receiver.delivered()) == 350, 120, "the rest")
        until(daemon.is_ready, 60, "readiness")
        until(lambda: broken() == 0, 10, "its metric")

    def test_a_view_found_damaged_while_it_is_used_is_built_anew(self):
        daemon = self.daemon().start()
        daemon.wait_token()
        well = []
        receiver = self.receiver(lambda n, webhook_id: 200 if well else 503)
        daemon.apply({"main": (receiver.url, {"retry": '["4s", "4s", "4s", "4s", "4s", "4s", "4s"]'})})
        self.publish(daemon, "--file", daemon.publish_many(50, "parked"))
        until(lambda: re.search(r"^postrider_parked_deliveries\S* 50$", daemon.get("/metrics")[1], re.M), 60, "parking")
        for _ in range(2):  # what lay in its write-ahead log stands in tables after a start
            daemon.kill()
            daemon.start()
        daemon.kill()
        # Not the smallest: what a start reads itself stands there, and is mended then.
        tables = [one for one in (daemon.data / "view").glob("*.sst") if one.stat().st_size > 3000]
        self.assertTrue(tables)
        for table in tables:
            with open(table, "r+b") as file:
                first = file.read(9)
                file.seek(8)
                file.write(bytes([first[8] ^ 1]))  # the first block of rows; no start looks there
        daemon.start(ready=False)
        says = lambda: [line["message"] for line in daemon.lines() if line["operation"] == "view_wiped"]
        self.assertIn("was damaged on the disk", until(says, 60, "what it says of the view")[0])
        until(daemon.is_ready, 60, "readiness")
        self.assertIsNone(daemon.process.poll())
        well.append(True)
        until(lambda: len(receiver.delivered()) == 50, 60, "what was parked")

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
