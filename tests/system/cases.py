"""What must hold on either log. Subclasses give `log_of()` and publish in their log's own way."""
import base64
import concurrent.futures
import json
import random
import re
import shutil
import time
import unittest
import zlib

from kit import SECRET, Authority, Daemon, Receiver, metric, scratch, until


class Whole(unittest.TestCase):
    daemons = 1

    @classmethod
    def setUpClass(cls):
        cls.directory = scratch()
        cls.authority = Authority(cls.directory)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.directory, ignore_errors=True)

    def setUp(self):
        self.closing = []

    def tearDown(self):
        for close in reversed(self.closing):
            close()

    def receiver(self, answer=lambda n, webhook_id: 200):
        receiver = Receiver(self.authority, answer)
        self.closing.append(receiver.close)
        return receiver

    def daemon(self, name="one", **more):
        daemon = Daemon(self.place() / name, self.authority, **more)
        self.closing.append(daemon.stop)
        return daemon

    def place(self):
        path = self.directory / self.id().split(".")[-1]
        path.mkdir(exist_ok=True)
        return path


class OnEitherLog:
    """Mixed into a Whole with started()."""

    def test_repeats_are_known_after_a_lost_view(self):
        daemon = self.started()
        receiver = self.receiver()
        daemon.apply({"main": (receiver.url, {})})
        numbers = lambda name: metric(daemon.get("/metrics")[1], name)

        def publish(name):
            return self.publish(daemon, "--tenant", "acme", "--type", "order.created", "--id", name, "--source", "/shop",
                                "--data", "-", stdin="{}")[0]["webhook_id"]
        known = publish("known")
        until(lambda: known in receiver.delivered() and numbers("postrider_unsettled_events") == 0, 30, "its settling")
        daemon.stop()
        shutil.rmtree(daemon.data / "view")
        daemon.start()
        until(lambda: numbers("postrider_partitions") > 0 and json.loads(daemon.get("/readyz")[1])["notes"] == [], 60,
              "the index")
        self.assertEqual(publish("known"), known)
        until(lambda: 'postrider_events_total{result="repeat"} 1' in daemon.get("/metrics")[1], 30, "the repeat")
        last = publish("last")
        until(lambda: last in receiver.delivered(), 30, "what came after it")
        self.assertEqual(len(receiver.of(known)), 1)

    def test_fan_out_signed_and_typed(self):
        daemon = self.started()
        orders, everything, invoices = self.receiver(), self.receiver(), self.receiver()
        daemon.apply({"orders": (orders.url, {"types": '["order.*"]'}),
                      "everything": (everything.url, {"format": '"structured"'}),
                      "invoices": (invoices.url, {"types": '["invoice.paid"]'})})
        done = self.publish(daemon, "--tenant", "acme", "--type", "order.created", "--id", "fan-1", "--source", "/shop",
                            "--data", "-", stdin='{"order": 1}')
        webhook_id = done[0]["webhook_id"]
        until(lambda: orders.of(webhook_id) and everything.of(webhook_id), what="both deliveries")
        binary, structured = orders.of(webhook_id)[0], everything.of(webhook_id)[0]
        self.assertTrue(binary["verified"] and structured["verified"])
        self.assertEqual(binary["body"], b'{"order": 1}')
        self.assertEqual(binary["headers"]["ce-type"], "order.created")
        event = json.loads(structured["body"])
        self.assertEqual((event["type"], event["id"], event["data"]), ("order.created", "fan-1", {"order": 1}))
        self.assertNotIn("tenant", event)
        self.assertEqual(invoices.count(), 0)

    def test_retries_until_it_succeeds(self):
        daemon = self.started()
        receiver = self.receiver(lambda n, webhook_id: 503 if n <= 2 else 200)
        daemon.apply({"main": (receiver.url, {"retry": '["1s", "1s", "1s"]'})})
        webhook_id = self.publish(daemon, "--tenant", "acme", "--type", "order.created", "--id", "retry-1")[0]["webhook_id"]
        arrivals = until(lambda: len(receiver.of(webhook_id)) == 3 and receiver.of(webhook_id), what="three attempts")
        self.assertTrue(all(arrival["verified"] for arrival in arrivals))
        for before, after in zip(arrivals, arrivals[1:]):
            self.assertGreaterEqual(after["at"] - before["at"], 0.79)  # 1 s ± 20 %
        shown = until(lambda: self.delivery(daemon, webhook_id, "delivered"), what="its state")
        self.assertEqual([attempt["status"] for attempt in shown["attempts"]], [503, 503, 200])

    def delivery(self, daemon, webhook_id, state):
        done = daemon.ops("deliveries", "show", webhook_id, "--json")
        if done.code != 0:
            return None
        shown = json.loads(done.out.splitlines()[0])
        return shown if shown["state"] == state else None

    def test_dead_letter_and_replay(self):
        daemon = self.started()
        answers = {"status": 400}
        receiver = self.receiver(lambda n, webhook_id: answers["status"])
        daemon.apply({"main": (receiver.url, {})})
        webhook_id = self.publish(daemon, "--tenant", "acme", "--type", "order.created", "--id", "dead-1",
                                  "--data", "-", stdin='{"order": "dead"}')[0]["webhook_id"]
        letter = until(lambda: self.dead_letters(daemon), what="the dead letter")[0]
        self.assertEqual((letter["reason"], letter["category"], letter["attempts"], letter["webhook_id"]),
                         ("client_error", "customer_failure", 1, webhook_id))
        answers["status"] = 200
        dry = daemon.ops("replay", letter["delivery_id"], "--dry-run")
        self.assertEqual(dry.code, 0, dry)
        time.sleep(0.5)
        self.assertEqual(receiver.count(), 1, "a dry run sends nothing")
        self.assertEqual(daemon.ops("replay", letter["delivery_id"]).code, 0)
        until(lambda: len(receiver.of(webhook_id)) == 2, what="the replay")
        first, second = receiver.of(webhook_id)
        self.assertEqual(first["body"], second["body"])
        self.assertTrue(second["verified"])
        until(lambda: not [one for one in self.dead_letters(daemon) if one.get("state", "open") == "open"],
              what="the letter to be no longer open")

    def test_a_replay_outlives_its_daemon_and_is_cancelled_by_another_hand(self):
        daemon = self.started()
        answers = {"status": 400}
        receiver = self.receiver(lambda n, webhook_id: answers["status"])
        daemon.apply({"main": (receiver.url, {})})
        events = self.publish(daemon, "--file", daemon.publish_many(8, "outlives"))
        until(lambda: len(self.dead_letters(daemon)) == 8, what="the dead letters")
        answers["status"] = 200
        words = ("replay", "--tenant", "acme", "--rate", "1")
        with concurrent.futures.ThreadPoolExecutor() as pool:
            asked = pool.submit(daemon.ops, *words)  # its answer is lost with the daemon
            until(lambda: receiver.count() >= 10, 30, "two replays")
            daemon.kill()
            asked.result()
        daemon.start()
        job = until(lambda: self.replays(daemon, "finished"), 90, "the end of the replay")[0]
        self.assertEqual((job["matched"], job["replayed"], job["remaining"]), (8, 8, 0), job)
        until(lambda: all(len(receiver.of(event["webhook_id"])) >= 2 for event in events), 30, "each replay")
        time.sleep(1)
        # Each once; but what was on its way when the daemon was killed may have come again: one, at one a second.
        self.assertLessEqual(receiver.count(), 17, [len(receiver.of(event["webhook_id"])) for event in events])
        before = receiver.count()

        answers["status"] = 400
        self.publish(daemon, "--file", daemon.publish_many(5, "cancelled"))
        until(lambda: len(self.open_letters(daemon)) == 5, what="more dead letters")
        answers["status"] = 200
        with concurrent.futures.ThreadPoolExecutor() as pool:
            asked = pool.submit(daemon.ops, *words[:-1], "0.5")
            job = until(lambda: [one for one in self.replays(daemon, "running") if one["replayed"] > 0], 30, "it runs")[0]
            self.assertEqual(daemon.ops("replays", "cancel", job["job"]).code, 0)
            self.assertEqual(asked.result().code, 1)
        job = json.loads(daemon.ops("replays", "show", job["job"], "--json").out)
        self.assertEqual((job["state"], job["matched"]), ("cancelled", 5), job)
        self.assertEqual(len(self.open_letters(daemon)), 5 - job["replayed"])
        until(lambda: receiver.count() == before + 5 + job["replayed"], 30, "what it had sent")

    def replays(self, daemon, state):
        done = daemon.ops("replays", "list", "--state", state, "--json")
        return [json.loads(line) for line in done.out.splitlines()] if done.code == 0 else []

    def open_letters(self, daemon):
        return [one for one in self.dead_letters(daemon) if one["state"] == "open"]

    def dead_letters(self, daemon):
        done = daemon.ops("dead-letters", "list", "--json")
        self.assertEqual(done.code, 0, done)
        return [json.loads(line) for line in done.out.splitlines()]

    def test_replay_needs_a_selector(self):
        daemon = self.started()
        self.assertEqual(daemon.ops("replay").code, 2)

    def test_retry_after_is_kept_to(self):
        daemon = self.started()
        receiver = self.receiver(lambda n, webhook_id: (429, {"Retry-After": "4"}) if n == 1 else 200)
        daemon.apply({"main": (receiver.url, {"retry": '["1s", "1s"]'})})
        webhook_id = self.publish(daemon, "--tenant", "acme", "--type", "order.created", "--id", "after-1")[0]["webhook_id"]
        arrivals = until(lambda: len(receiver.of(webhook_id)) == 2 and receiver.of(webhook_id), what="the retry")
        self.assertGreaterEqual(arrivals[1]["at"] - arrivals[0]["at"], 3.9)

    def test_gone_disables_and_enable_brings_back_what_was_held(self):
        daemon = self.started()
        receiver = self.receiver(lambda n, webhook_id: 410 if receiver.count() == 1 else 200)
        daemon.apply({"main": (receiver.url, {})})
        self.publish(daemon, "--tenant", "acme", "--type", "order.created", "--id", "gone-1")
        until(lambda: receiver.count() == 1, what="the first")
        until(lambda: any(line.get("level") == "error" and line.get("endpoint") == "main" for line in daemon.lines()),
              what="the ERROR line")
        file = daemon.publish_many(20, "held")
        self.publish(daemon, "--file", file)
        time.sleep(2)
        self.assertEqual(receiver.count(), 1)
        listed = json.loads(daemon.ops("endpoints", "list", "--json").out.splitlines()[0])
        self.assertEqual((listed["state"], listed["held"]), ("disabled", 20))
        self.assertEqual(daemon.ops("endpoints", "enable", "acme", "main").code, 0)
        until(lambda: len(receiver.ids()) == 21, what="what was held")

    def test_sigterm_drains(self):
        daemon = self.started()
        receiver = self.receiver(lambda n, webhook_id: time.sleep(0.05) or 200)
        daemon.apply({"main": (receiver.url, {})})
        self.publish(daemon, "--file", daemon.publish_many(300, "drain"))
        until(lambda: receiver.count() >= 30, what="the first")
        self.assertEqual(daemon.stop(), 0)
        sent = receiver.count()
        time.sleep(1)
        self.assertEqual(receiver.count(), sent, "nothing after it ended")
        daemon.start()
        until(lambda: len(receiver.ids()) == 300, 120, "the rest")
        self.assertEqual(receiver.count(), 300, "a graceful stop repeats nothing")

    def crash(self, events, kills, seed=20261122):
        """SIGKILL again and again: repeats are allowed, losses are not."""
        chance = random.Random(seed)
        daemon = self.started()
        receiver = self.receiver(lambda n, webhook_id: 503 if n == 1 and zlib.crc32(webhook_id.encode()) % 7 == 0 else 200)
        daemon.apply({"main": (receiver.url, {"retry": '["1s", "1s", "1s", "1s", "1s"]'})})
        file = daemon.publish_many(events, "crash")
        published = []
        with concurrent.futures.ThreadPoolExecutor() as pool:
            publishing = self.publishing_through_crashes(pool, daemon, file)
            for kill in range(kills):
                goal = min(events - 1, (kill + 1) * events // (kills + 2))
                until(lambda: len(receiver.ids()) >= goal or publishing.done(), 120, f"progress before kill {kill}")
                time.sleep(chance.random() * 0.2)
                daemon.kill()
                daemon.start()
            published = publishing.result()
        wanted = {line["webhook_id"] for line in published}
        self.assertEqual(len(wanted), events)
        until(lambda: wanted <= receiver.delivered(), 180, "every event")
        self.assertEqual(receiver.ids() - wanted, set(), "nothing that was not published")
        self.assertTrue(all(arrival["verified"] for arrival in receiver.arrivals))
        daemon.stop()
        code, totals, missing = daemon.reconcile()
        self.assertEqual((code, missing), (0, []), totals)
        self.assertEqual((totals["events"] - totals["repeats"], totals["delivered"]), (events, events))
        repeats = receiver.count() - len(wanted) - sum(1 for one in wanted if zlib.crc32(one.encode()) % 7 == 0)
        print(f"\n{events} events, {kills} kills, lost 0, repeats {repeats}", flush=True)

    def test_view_deleted_while_stopped_loses_nothing(self):
        daemon = self.started()
        answers = {"status": 503}
        receiver = self.receiver(lambda n, webhook_id: answers["status"])
        daemon.apply({"main": (receiver.url, {"retry": '["6s", "1s", "1s", "1s"]'})})
        self.publish(daemon, "--file", daemon.publish_many(50, "view"))
        until(lambda: receiver.count() >= 16, what="attempts")
        daemon.stop()
        token = daemon.token_file.read_text()
        shutil.rmtree(daemon.data)
        answers["status"] = 200
        daemon.start()
        daemon.data.mkdir(exist_ok=True)
        daemon.token_file.write_text(token)
        until(lambda: len(receiver.delivered()) == 50, 120, "every event, from the log alone")
        for one in receiver.ids():
            self.assertEqual({arrival["verified"] for arrival in receiver.of(one)}, {True})

    def test_shards_of_one_process_share_the_partitions(self):
        """Two shards: killed, asked and stopped as one; what they leave behind one shard goes on with."""
        daemon = self.started(top="shards = 2\n")
        receiver = self.receiver(lambda n, webhook_id: 503 if n == 1 and zlib.crc32(webhook_id.encode()) % 5 == 0 else 200)
        tenants = [f"t{i}" for i in range(8)]
        daemon.apply({tenant: (receiver.url, {"tenant": f'"{tenant}"', "retry": '["1s", "1s", "1s"]'}) for tenant in tenants})
        partitions = lambda: [int(n) for n in re.findall(r'^postrider_partitions{[^}]*} (\d+)$', daemon.get("/metrics")[1], re.M)]
        until(lambda: sum(partitions()) == 4, 60, "all partitions to be owned")
        self.assertEqual(partitions(), [2, 2])
        published = []
        with concurrent.futures.ThreadPoolExecutor() as pool:
            publishing = self.publishing_through_crashes(pool, daemon, daemon.publish_many(1600, "shards", tenants=tenants))
            for goal in (300, 800, 1300):
                until(lambda: len(receiver.ids()) >= goal or publishing.done(), 120, "progress before a kill")
                daemon.kill()
                daemon.start()
            published = publishing.result()
        wanted = {line["webhook_id"] for line in published}
        until(lambda: wanted <= receiver.delivered(), 180, "every event")
        # Whichever shard has a partition, it is asked; each counts what it holds.
        for line in published[:16]:
            shown = json.loads(daemon.ops("deliveries", "show", line["webhook_id"], "--json").out.splitlines()[0])
            self.assertEqual(shown["state"], "delivered")
        each = lambda verb, *words: [daemon.ops("endpoints", verb, tenant, tenant, *words, *hurry).code
                                     for tenant, hurry in zip(tenants, [("--no-wait",)] * 7 + [()])]
        self.assertEqual(each("disable", "--why", "to see them held"), [0] * 8)
        self.publish(daemon, "--file", daemon.publish_many(80, "held", tenants=tenants))
        token = daemon.token_file.read_text().strip()
        held = lambda tenant: daemon.api_get(f"/v1/tenants/{tenant}/endpoints/{tenant}", token)["held"]
        until(lambda: all(held(tenant) == 10 for tenant in tenants), 60, "what is held, of each shard")
        self.assertEqual(daemon.stop(), 0)
        # With fewer shards the others' partitions are taken over, and their views go.
        daemon.extra = daemon.extra.replace("shards = 2\n", "")
        daemon.write_config()
        daemon.start()
        self.assertFalse((daemon.data / "view-1").exists())
        self.assertEqual(each("enable"), [0] * 8)
        until(lambda: len(receiver.delivered()) == 1680, 120, "what was held")
        daemon.stop()
        code, totals, missing = daemon.reconcile()
        self.assertEqual((code, missing), (0, []), totals)

    def test_nothing_secret_is_readable(self):
        daemon = self.started()
        receiver = self.receiver(lambda n, webhook_id: 400)
        daemon.apply({"main": (receiver.url + "?token=canary-query-4711", {})})
        self.publish(daemon, "--tenant", "acme", "--type", "order.created", "--id", "canary-1", "--data", "-",
                     stdin='{"card": "canary-payload-4711"}')
        until(lambda: self.dead_letters(daemon), what="the dead letter")
        slow = self.receiver(lambda n, webhook_id: 503)
        daemon.apply({"parks": (slow.url, {"retry": '["1h"]'})})
        self.publish(daemon, "--tenant", "acme", "--type", "order.created", "--id", "canary-2", "--data", "-",
                     stdin='{"card": "canary-payload-4711"}')
        until(lambda: slow.count(), what="the parked one")
        time.sleep(1)
        daemon.stop()
        secret = SECRET.removeprefix("whsec_")
        canaries = [b"canary-query-4711", b"canary-payload-4711", secret.encode(), base64.b64decode(secret)]
        places = self.stored_bytes(daemon)
        self.assertGreater(len(places), 2)
        for name, bytes_ in places:
            for canary in canaries:
                self.assertNotIn(canary, bytes_, f"{canary!r} in {name}")

    def stored_bytes(self, daemon):
        found = [("the log lines", daemon.errors.read_bytes())]
        for path in daemon.directory.rglob("*"):
            if path.is_file() and path.suffix != ".jsonl" and path.name not in ("endpoints.toml",):
                found.append((str(path), path.read_bytes()))
        return found
