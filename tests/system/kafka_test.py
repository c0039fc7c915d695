"""The whole on a real Apache Kafka."""
import collections
import concurrent.futures
import http.client
import json
import subprocess
import time
import unittest

from cases import OnEitherLog, Whole
from kafka_secure import Secured
from kit import Broker, metric, run_tool, until
from outside_test import PYTHON, install

# An operator's mistake; false while the group has members.
FORGET_GROUP = """
import sys
from confluent_kafka.admin import AdminClient
address, group = sys.argv[1:]
admin = AdminClient({"bootstrap.servers": address})  # held: a future of one that is gone never comes
admin.delete_consumer_groups([group], request_timeout=10)[group].result(30)
"""


class OnKafka(Secured, OnEitherLog, Whole):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.broker = Broker(cls.directory / "broker", more=cls.secure_listener())
        cls.environments = 0

    @classmethod
    def tearDownClass(cls):
        cls.broker.close()
        super().tearDownClass()

    def topics(self, partitions=4):
        """Each test has an environment of its own on the one broker."""
        type(self).environments += 1
        self.environment = f"dev{self.environments}"
        self.log = f"kafka://{self.broker.address}"
        done = run_tool("postrider-ops", "--log", self.log, "--environment", self.environment, "topics", "create",
                        "--partitions", partitions)
        self.assertEqual(done.code, 0, done)

    def make_key(self, daemon):
        if not daemon.key.exists():
            self.assertEqual(run_tool("postrider-ops", "keys", "new", daemon.key).code, 0)

    def instance(self, name, key_of=None, top=""):
        daemon = self.daemon(name, log=self.log, environment=self.environment,
                             extra=top + '---\n[kafka]\n"session.timeout.ms" = "6000"\n')
        if key_of:
            daemon.key.write_bytes(key_of.key.read_bytes())
            daemon.key.chmod(0o600)
        else:
            self.make_key(daemon)
        return daemon.start()

    def started(self, top=""):
        self.topics()
        daemon = self.instance("one", top=top)
        daemon.wait_token()
        return daemon

    def publish(self, daemon, *words, **more):
        done = run_tool("postrider-publish", "--to", self.log, "--environment", self.environment, "--json", *words, **more)
        self.assertEqual(done.code, 0, done)
        return [json.loads(line) for line in done.out.splitlines()]

    def publishing_through_crashes(self, pool, daemon, file):
        return pool.submit(lambda: self.publish(daemon, "--file", file, timeout=300))

    def test_ten_kills_lose_nothing(self):
        self.crash(5000, 10)

    def test_two_daemons_share_the_work_and_one_takes_over(self):
        first = self.started()
        second = self.instance("two", key_of=first)
        second.token_file.parent.mkdir(exist_ok=True)
        receiver = self.receiver()
        first.apply({"main": (receiver.url, {})})
        file = first.publish_many(400, "two")
        # Many tenants: they spread over the partitions.
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        endpoints = {}
        for i, line in enumerate(lines):
            line["tenant"] = f"t{i % 16}"
        file.write_text("\n".join(map(json.dumps, lines)) + "\n")
        text = f'environment = "{self.environment}"\n'
        for i in range(16):
            text += (f'[[endpoint]]\ntenant = "t{i}"\nid = "main"\nurl = "{receiver.url}"\n'
                     'secrets = ["env:TEST_SECRET"]\n')
        (first.directory / "many.toml").write_text(text)
        self.assertEqual(first.ops("endpoints", "apply", first.directory / "many.toml").code, 0)
        until(lambda: all(any(line.get("operation") == "partition_assigned" for line in daemon.lines())
                          for daemon in (first, second)), 60, "partitions on both")
        self.publish(first, "--file", file)
        until(lambda: len(receiver.ids()) == 400, 90, "all of them")
        shares = [sum(1 for line in daemon.lines() if line.get("operation") == "deliver") for daemon in (first, second)]
        self.assertTrue(all(shares), f"both deliver: {shares}")
        first.kill()
        more = [dict(line, id=line["id"] + "-again") for line in lines[:100]]
        file.write_text("\n".join(map(json.dumps, more)) + "\n")
        self.publish(second, "--file", file)
        until(lambda: len(receiver.ids()) == 500, 90, "the other to take over")

    def test_what_is_asked_twice_is_done_once_on_whichever_instance(self):
        first = self.started()
        second = self.instance("two", key_of=first)
        token = first.token_file.read_text().strip()
        ask = lambda daemon, path, body, key: self.ask(daemon, token, "POST", path, body, {"Idempotency-Key": key})
        made = ask(first, "/v1/tokens", {"name": "shop"}, "one")
        self.assertEqual(made.status, 201, made)
        again = until(lambda: self.unless(409, ask(second, "/v1/tokens", {"name": "shop"}, "one")), 10, "an answer")
        self.assertEqual((again.status, again.json), (201, made.json))
        self.assertEqual(again.headers["idempotent-replayed"], "true")
        self.assertEqual(ask(second, "/v1/tokens", {"name": "other"}, "one").json["code"], "IDEMPOTENCY_KEY_REUSED")
        # Both at once: one runs it, the other waits for its answer.
        with concurrent.futures.ThreadPoolExecutor() as pool:
            both = [pool.submit(ask, daemon, "/v1/tokens", {"name": "race"}, "two") for daemon in (first, second)]
            both = [one.result() for one in both]
        self.assertIn(201, [one.status for one in both])
        self.assertLessEqual({one.status for one in both}, {201, 409})
        self.assertEqual({one.json["code"] for one in both if one.status == 409} - {"IDEMPOTENCY_KEY_IN_USE"}, set())
        first.kill()
        second.kill()
        second.start()  # with what the log says alone
        last = until(lambda: self.unless(409, ask(second, "/v1/tokens", {"name": "race"}, "two")), 60, "an answer")
        self.assertIn(last.json, [one.json for one in both])
        names = [one["name"] for one in self.ask(second, token, "GET", "/v1/tokens").json["tokens"]]
        self.assertEqual((names.count("shop"), names.count("race")), (1, 1))

    def test_of_two_who_change_an_endpoint_or_a_tenant_at_once_one_learns_of_it(self):
        first = self.started()
        second = self.instance("two", key_of=first)
        self.change_at_once(first, second, "/v1/tenants/acme/endpoints/shop", "url", "https://127.0.0.1:8443/", 5)
        self.change_at_once(first, second, "/v1/tenants/acme", "name", "Acme ", 2)

    def change_at_once(self, first, second, place, field, value, times):
        token = first.token_file.read_text().strip()
        put = lambda daemon, n, tag: self.ask(daemon, token, "PUT", place, {field: f"{value}{n}"}, tag)
        self.assertEqual(put(first, 0, {"If-None-Match": "*"}).headers["etag"], '"1"')
        self.assertEqual(put(second, 0, {"If-None-Match": "*"}).json["code"], "PRECONDITION_FAILED")
        tag = '"1"'
        with concurrent.futures.ThreadPoolExecutor() as pool:
            for n in range(1, times + 1):
                both = [pool.submit(put, daemon, f"{n}-{name}", {"If-Match": tag})
                        for daemon, name in ((first, "one"), (second, "two"))]
                both = [one.result() for one in both]
                self.assertEqual(sorted(one.status == 200 for one in both), [False, True], both)
                won = next(one for one in both if one.status == 200)
                other = next(one for one in both if one.status != 200)
                self.assertIn((other.status, other.json["code"]), [(409, "CONFLICT"), (412, "PRECONDITION_FAILED")])
                tag = won.headers["etag"]
                seen = [self.ask(daemon, token, "GET", place) for daemon in (first, second)]
                self.assertEqual({one.headers["etag"] for one in seen}, {tag}, "one state on both")
                self.assertEqual(len({one.json[field] for one in seen}), 1)

    Answer = collections.namedtuple("Answer", "status json headers")

    def ask(self, daemon, token, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=90)
        try:
            all_headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", **(headers or {})}
            connection.request(method, path, json.dumps(body) if body is not None else None, all_headers)
            answer = connection.getresponse()
            text = answer.read().decode()
            return self.Answer(answer.status, json.loads(text) if text else None,
                               {name.lower(): value for name, value in answer.getheaders()})
        finally:
            connection.close()

    @staticmethod
    def unless(status, answer):
        return None if answer.status == status else answer

    def test_topics_grow_under_a_running_daemon_and_another_partitioner(self):
        daemon = self.started()
        receiver = self.receiver()
        tenants = [f"t{n}" for n in range(12)]
        text = f'environment = "{self.environment}"\n'
        for tenant in tenants:
            text += (f'[[endpoint]]\ntenant = "{tenant}"\nid = "main"\nurl = "{receiver.url}"\n'
                     'secrets = ["env:TEST_SECRET"]\n')
        (daemon.directory / "many.toml").write_text(text)
        self.assertEqual(daemon.ops("endpoints", "apply", daemon.directory / "many.toml").code, 0)

        def events(name, count):
            file = daemon.directory / f"{name}.jsonl"
            file.write_text("".join(
                json.dumps({"specversion": "1.0", "id": f"{name}-{n}", "source": "/shop", "type": "order.created",
                            "tenant": tenants[n % len(tenants)], "data": {"n": n}}) + "\n" for n in range(count)))
            return file
        misplaced = lambda: metric(daemon.get("/metrics")[1], "postrider_events_misplaced_total")
        self.publish(daemon, "--file", events("before", 200))
        until(lambda: len(receiver.ids()) == 200, 60, "what came before")
        self.assertEqual(misplaced(), 0)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            during = pool.submit(lambda: self.publish(daemon, "--file", events("during", 2000)))
            done = run_tool("postrider-ops", "--log", self.log, "--environment", self.environment, "topics", "grow",
                            "--partitions", 6)
            self.assertEqual(done.code, 0, done)
            during.result()
        self.publish(daemon, "--file", events("after", 400))
        until(lambda: len(receiver.ids()) == 2600, 120, "all of them")
        owned = lambda: {line.get("message", "") for line in daemon.lines() if line["operation"] == "partition_assigned"}
        until(lambda: any("5" in message for message in owned()), 60, "the new partitions")
        # A client that places keys in its own way.
        before = misplaced()
        wrong = [(n, tenants[n % len(tenants)]) for n in range(60)]
        lines = "".join(json.dumps({"specversion": "1.0", "id": f"elsewhere-{n}", "source": "/shop", "tenant": tenant,
                                    "type": "order.created", "data": {"n": n}}) + "\n" for n, tenant in wrong)
        sent = subprocess.run(["kcat", "-P", "-b", self.broker.address, "-t", f"{self.environment}.postrider.events", "-p",
                               "5", "-k", "t0", "-H", "content-type=application/cloudevents+json"], input=lines, text=True,
                              capture_output=True)
        self.assertEqual(sent.returncode, 0, sent.stderr)
        until(lambda: len(receiver.ids()) == 2660, 60, "what was placed elsewhere")
        self.assertGreater(misplaced(), before)
        daemon.stop()
        code, totals, missing = daemon.reconcile()
        self.assertEqual((code, missing, totals["delivered"]), (0, [], 2660), totals)

    def test_replay_straight_from_the_log_while_every_daemon_is_down(self):
        daemon = self.started()
        answers = {"status": 400}
        receiver = self.receiver(lambda n, webhook_id: answers["status"])
        daemon.apply({"main": (receiver.url, {})})
        webhook_id = self.publish(daemon, "--tenant", "acme", "--type", "order.created", "--id", "log-1",
                                  "--data", "-", stdin='{"order": "log"}')[0]["webhook_id"]
        until(lambda: self.dead_letters(daemon), what="the dead letter")
        daemon.stop()
        answers["status"] = 200
        log = ("--log", self.log, "--environment", self.environment)
        summary = run_tool("postrider-ops", *log, "dead-letters", "summary", "--json")
        self.assertEqual(summary.code, 0, summary)
        done = run_tool("postrider-ops", *log, "replay", "--tenant", "acme", "--reason", "client_error")
        self.assertEqual(done.code, 0, done)
        daemon.start()
        until(lambda: len(receiver.of(webhook_id)) == 2, 60, "the replay")
        self.assertTrue(receiver.of(webhook_id)[1]["verified"])

    def test_lost_offsets_stop_the_partition_and_are_rebuilt_from_the_log(self):
        daemon = self.started()
        receiver = self.receiver()
        daemon.apply({"main": (receiver.url, {})})
        self.publish(daemon, "--file", daemon.publish_many(200, "offsets"))
        until(lambda: len(receiver.ids()) == 200, 60, "all of them")
        time.sleep(4)  # its commit, and the mark that names it
        self.assertEqual(daemon.stop(), 0)
        group = f"{self.environment}.postrider"
        install()
        forget = [PYTHON, "-c", FORGET_GROUP, self.broker.address, group]
        until(lambda: subprocess.run(forget, capture_output=True).returncode == 0, 90, "the group without members")
        daemon.start(ready=False)
        complaint = until(lambda: self.complaint(daemon, "OFFSETS_LOST", "offsets rebuild"), 60, "the complaint")
        self.assertIn("offsets rebuild", complaint)
        self.assertEqual(receiver.count(), 200)
        daemon.stop()
        words = ("postrider-ops", "--log", self.log, "--environment", self.environment, "offsets", "rebuild", "--yes")
        done = until(lambda: (ran := run_tool(*words)).code == 0 and ran, 60, "the group without members")
        self.assertIn("has committed 200", done.out)
        daemon.start()
        self.publish(daemon, "--tenant", "acme", "--type", "order.created", "--id", "after")
        until(lambda: len(receiver.ids()) == 201, 60, "what came after")
        self.assertEqual(receiver.count(), 201, "nothing was sent again")

    @staticmethod
    def complaint(daemon, *words):
        try:
            status, text = daemon.get("/readyz")
        except OSError:
            return None
        return text if status == 503 and any(word in text for word in words) else None

    def test_missing_topics_are_named_with_the_command_that_makes_them(self):
        daemon = self.daemon("none", log=f"kafka://{self.broker.address}", environment="nowhere")
        self.make_key(daemon)
        done = run_tool("postriderd", "--config", daemon.config)
        self.assertEqual(done.code, 2, done)
        error = json.loads(done.err.splitlines()[-1])
        self.assertIn("topics create", error["suggestion"])

    def test_another_key_file_is_refused_before_the_first_event(self):
        daemon = self.started()
        daemon.stop()
        daemon.key.unlink()
        self.make_key(daemon)
        done = run_tool("postriderd", "--config", daemon.config)
        self.assertEqual(done.code, 2, done)
        self.assertEqual(json.loads(done.err.splitlines()[-1])["code"], "KEY_SERVICE_OTHER")

    def stored_bytes(self, daemon):
        found = super().stored_bytes(daemon)
        for topic in ("endpoints", "health", "keys", "parked", "attempts", "dead-letters", "audit"):
            name = f"{self.environment}.postrider.{topic}"
            read = subprocess.run(["kcat", "-C", "-b", self.broker.address, "-t", name, "-o", "beginning", "-e", "-q",
                                   "-f", "%k %h %s\n"], capture_output=True, timeout=60)
            self.assertEqual(read.returncode, 0, read.stderr)
            found.append((name, read.stdout))
        self.assertTrue(any(bytes_ for name, bytes_ in found if name.endswith("dead-letters")))
        return found


if __name__ == "__main__":
    unittest.main(verbosity=2)
