#!/usr/bin/env python3
"""postrider-publish from outside, against an API that behaves as told.

Run as: publish_test.py PATH/OF/postrider-publish. Needs nothing but Python's own library.
"""
import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading
import unittest

PUBLISH = ""


class Api:
    """Answers POST /v1/events with 202 and rising offsets, unless `answers` has something else to say first."""

    def __init__(self, answers=(), deliveries=()):
        api = self
        self.requests, self.asked = [], []
        self.answers, self.deliveries = list(answers), list(deliveries)
        self.lock = threading.Lock()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self, status, body, headers=()):
                text = json.dumps(body).encode()
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                with api.lock:
                    api.requests.append((self.path, dict(self.headers.items()), body))
                    answer = api.answers.pop(0) if api.answers else None
                    offset = len(api.requests) - 1
                if answer:
                    return self.answer(*answer)
                self.answer(202, {"id": self.headers["ce-id"], "webhook_id": "msg_" + self.headers["ce-id"],
                                  "topic": "development.postrider.events", "partition": 3, "offset": offset})

            def do_GET(self):
                if self.path == "/healthz":
                    return self.answer(200, {})
                with api.lock:
                    api.asked.append(self.path)
                    if len(api.deliveries) > 1:
                        return self.answer(*api.deliveries.pop(0))
                    return self.answer(*api.deliveries[0])

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def publish(self, *options, **more):
        return publish("--to", self.url, *options, **more)


def publish(*options, stdin="", token="", **variables):
    environment = dict(os.environ, **variables)
    environment.pop("POSTRIDER_TOKEN", None)
    if token:
        environment["POSTRIDER_TOKEN"] = token
    if isinstance(stdin, str):
        stdin = stdin.encode()
    given = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin}
    done = subprocess.run([PUBLISH, *options], **given, capture_output=True, timeout=120, env=environment)
    done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
    return done


ONE = ("--environment", "development", "--tenant", "acme", "--type", "order.created")


def attempts(*statuses):
    return [{"n": 1, "at": "2026-01-31T12:00:00.000Z", "status": status, "code": None if status == 200 else f"HTTP_{status}",
             "duration_ms": 3}
            for status in statuses]


class Publish(unittest.TestCase):
    def test_one_event_is_posted_as_it_was_described_and_its_place_is_printed(self):
        data = b'{"name": "M\xc3\xbcller" }\n'
        with Api() as api:
            done = api.publish(*ONE, "--id", "e1", "--source", "/shop", "--subject", "order 7", "--data", "-",
                               "--attribute", "orderingkey=7", "--json", stdin=data, token="secret-token")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(json.loads(done.stdout), {"id": "e1", "webhook_id": "msg_e1", "partition": 3, "offset": 0,
                                                   "topic": "development.postrider.events"})
        ((path, headers, body),) = api.requests
        headers = {name.lower(): value for name, value in headers.items()}
        self.assertEqual((path, body), ("/v1/events", data))
        self.assertEqual(headers["authorization"], "Bearer secret-token")
        self.assertEqual(headers["content-type"], "application/json")
        self.assertEqual({name: value for name, value in headers.items() if name.startswith("ce-") and name != "ce-time"},
                         {"ce-specversion": "1.0", "ce-id": "e1", "ce-source": "/shop", "ce-type": "order.created",
                          "ce-subject": "order%207", "ce-tenant": "acme", "ce-environment": "development",
                          "ce-orderingkey": "7"})
        self.assertRegex(headers["ce-time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")

    def test_plain_output_names_id_webhook_id_and_position(self):
        with Api() as api:
            done = api.publish(*ONE, "--id", "e1")
        self.assertEqual(done.stdout, "e1  msg_e1  development.postrider.events partition 3 offset 0\n")

    def test_an_id_is_drawn_for_an_event_without_one(self):
        with Api() as api:
            ids = {json.loads(api.publish(*ONE, "--json").stdout)["id"] for _ in range(2)}
        self.assertEqual(len(ids), 2)
        for drawn in ids:
            self.assertRegex(drawn, r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")

    def test_the_content_type_is_found_out(self):
        with Api() as api:
            for data in (b"[1]", b"hello", b"\xff\x00"):
                api.publish(*ONE, "--data", "-", stdin=data)
            api.publish(*ONE, "--data", "-", "--content-type", "application/xml", stdin=b"<a/>")
            api.publish(*ONE)
        self.assertEqual([headers.get("Content-Type") for _, headers, _ in api.requests],
                         ["application/json", "text/plain; charset=utf-8", "application/octet-stream",
                          "application/xml", None])

    def test_a_file_of_events_is_published_in_order_and_bad_lines_are_named(self):
        lines = [{"specversion": "1.0", "id": f"e{i}", "source": "/s", "type": "t", "data": {"i": i}} for i in range(40)]
        lines[7]["tenant"] = "globex"
        text = [json.dumps(line) for line in lines]
        text.insert(3, "{not json")
        text.insert(10, json.dumps(dict(lines[0], tenant="no such tenant")))
        with Api() as api, tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "events.jsonl")
            with open(path, "w", encoding="utf-8") as file:
                file.write("\n".join(text) + "\n\n")
            done = api.publish("--tenant", "acme", "--file", path, "--json")
        self.assertEqual(done.returncode, 1)
        self.assertEqual([json.loads(line)["id"] for line in done.stdout.splitlines()], [f"e{i}" for i in range(40)])
        problems = [json.loads(line) for line in done.stderr.splitlines()]
        self.assertEqual([problem["code"] for problem in problems], ["UNDECODABLE_EVENT", "TENANT_INVALID"])
        self.assertEqual([problem["message"].split(":")[0] for problem in problems], ["line 4", "line 11"])
        tenants = {headers["ce-id"]: headers["ce-tenant"] for _, headers, _ in api.requests}
        self.assertEqual((tenants["e6"], tenants["e7"]), ("acme", "globex"))

    def test_a_busy_daemon_is_asked_again(self):
        busy = (503, {"code": "OVERLOADED", "message": "m", "suggestion": "s"})
        with Api(answers=[busy, (429, {}, [("Retry-After", "1")])]) as api:
            done = api.publish(*ONE, "--id", "e1", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(api.requests), 3)

    def test_a_refusal_is_shown_as_it_was_given(self):
        problem = {"code": "ENVIRONMENT_MISMATCH", "message": "wrong one", "suggestion": "take the other"}
        with Api(answers=[(400, problem), (401, {}), (400, problem)]) as api:
            done = api.publish(*ONE, "--json")
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertEqual(json.loads(done.stderr), dict(problem, retryable=False))
            done = api.publish(*ONE, "--json")
            self.assertEqual(done.returncode, 1)
            self.assertIn("POSTRIDER_TOKEN", json.loads(done.stderr)["suggestion"])
            self.assertEqual("postrider-publish: wrong one (ENVIRONMENT_MISMATCH)\n  take the other\n",
                             api.publish(*ONE).stderr)

    def test_a_refused_token_leads_to_where_this_tool_takes_it_from(self):
        problem = {"code": "AUTH_FAILED", "message": "no valid token", "suggestion": "`postrider-ops tokens reset`"}
        with Api(answers=[(401, problem)]) as api:
            told = json.loads(api.publish(*ONE, "--json").stderr)
        self.assertEqual((told["code"], told["message"]), ("AUTH_FAILED", "no valid token"))
        self.assertEqual(told["suggestion"], "give a valid token in POSTRIDER_TOKEN or --token-file")

    def test_an_event_that_may_have_been_taken_is_named_by_its_drawn_id(self):
        lost = (500, {"code": "LOG_UNREACHABLE", "message": "m", "suggestion": "s"})
        with Api(answers=[lost, lost, (400, {})]) as api:
            told = json.loads(api.publish(*ONE, "--json").stderr)
            drawn = api.requests[0][1]["ce-id"]
            self.assertEqual(told["suggestion"], f"s; publish it again with --id {drawn}")
            self.assertEqual(json.loads(api.publish(*ONE, "--id", "e1", "--json").stderr)["suggestion"], "s")
            self.assertNotIn("--id", json.loads(api.publish(*ONE, "--json").stderr)["suggestion"])

    def test_data_that_waits_on_standard_input_is_not_left_there(self):
        with Api() as api, tempfile.TemporaryFile() as file:
            file.write(b'{"order": 1}')
            file.flush()
            file.seek(0)
            for stdin in (b'{"order": 1}', file):
                done = api.publish(*ONE, "--json", stdin=stdin)
                self.assertEqual((done.returncode, json.loads(done.stderr)["code"]), (2, "WRONG_USE"))
                self.assertIn("--data -", json.loads(done.stderr)["suggestion"])
            self.assertEqual(api.requests, [])
            file.seek(0, os.SEEK_END)
            for stdin in (b"", subprocess.DEVNULL, file):
                self.assertEqual(api.publish(*ONE, stdin=stdin).returncode, 0)
            self.assertEqual([body for _, _, body in api.requests], [b""] * 3)

    def test_an_attributes_name_is_told_how_it_is_spelt(self):
        with Api() as api:
            done = api.publish(*ONE, "--attribute", "Foo=bar", "--json")
        self.assertEqual(done.returncode, 2)
        self.assertIn("--attribute Foo: names are lower-case letters and digits", json.loads(done.stderr)["message"])

    def test_data_that_is_too_large_is_told_with_its_size(self):
        def told(*options, **more):
            with Api() as api:
                return json.loads(api.publish(*ONE, "--json", *options, **more).stderr)["message"]

        with tempfile.NamedTemporaryFile() as file:
            file.write(b"x" * 300_000)
            file.flush()
            file.seek(0)
            self.assertIn("data of 300000 bytes", told("--data", file.name))
            self.assertIn("data of 300000 bytes", told("--data", "-", stdin=file))
        self.assertIn("data of more than 262144 bytes", told("--data", "-", stdin=b"x" * 300_000))

    def test_nothing_is_sent_that_would_be_refused(self):
        with Api() as api:
            for options, stdin, code in [(("--tenant", "a b", "--type", "t"), b"", "TENANT_INVALID"),
                                         ((*ONE, "--data", "-"), b"x" * (256 * 1024 + 1), "EVENT_TOO_LARGE"),
                                         ((*ONE, "--subject", "a\nb"), b"", "ATTRIBUTE_INVALID")]:
                done = api.publish(*options, "--json", stdin=stdin)
                self.assertEqual((done.returncode, json.loads(done.stderr)["code"]), (1, code))
            self.assertEqual(api.publish(*ONE, "--data", "-", stdin=b"x" * (256 * 1024)).returncode, 0)
        self.assertEqual(len(api.requests), 1)

    def test_wait_ends_when_every_delivery_has_its_first_outcome(self):
        here, earlier = {"partition": 3, "offset": 0}, {"partition": 3, "offset": -9}
        one = {"delivery_id": "dlv_1", "endpoint": "a", "state": "delivered", "position": here, "fan_out": 2,
               "attempts": attempts(200)}
        two = dict(one, delivery_id="dlv_2", endpoint="b", state="sending", fan_out=None, attempts=[])
        due = "2026-01-31T12:00:05.000Z"
        failed = dict(attempts(503)[0], status=None, code="DNS")
        retried = dict(two, state="parked", fan_out=2, attempts=[failed], next_at=due)
        other = dict(one, delivery_id="dlv_0", endpoint="c", position=earlier)
        pending = (200, {"deliveries": [], "explanation": "not routed yet", "pending": True})
        with Api(deliveries=[(404, {}), pending, (503, {}), (200, {"deliveries": [one, other]}),
                             (200, {"deliveries": [one, two]}), (200, {"deliveries": [one, retried]})]) as api:
            done = api.publish(*ONE, "--id", "e1", "--wait")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.splitlines()[1:], ["e1  msg_e1  a: delivered (HTTP 200)",
                                                        f"e1  msg_e1  b: failed (dns), retry at {due}"])
        self.assertEqual(api.asked, ["/v1/deliveries/msg_e1"] * 6)

    def test_wait_speaks_of_the_first_attempt_whatever_came_after(self):
        later = dict(attempts(200)[0], n=2, at="2026-01-31T12:00:07.000Z")
        texts = []
        for state, made in (("delivered", [*attempts(503), later]), ("dead", attempts(400)), ("cancelled", attempts(503)),
                            ("cancelled", [])):
            one = {"delivery_id": "dlv_1", "endpoint": "a", "state": state, "reason": "endpoint_deleted", "fan_out": 1,
                   "position": {"partition": 3, "offset": 0}, "attempts": made}
            with Api(deliveries=[(200, {"deliveries": [one]})]) as api:
                texts.append(api.publish(*ONE, "--id", "e1", "--wait").stdout.splitlines()[1].split("a: ")[1])
        self.assertEqual(texts, ["failed (HTTP 503), retry at 2026-01-31T12:00:07.000Z",
                                 "failed (HTTP 400), a dead letter", "failed (HTTP 503), cancelled",
                                 "cancelled: endpoint_deleted"])

    def test_wait_prints_outcomes_as_json_too(self):
        here = {"partition": 3, "offset": 0}
        one = {"delivery_id": "dlv_1", "endpoint": "a", "state": "delivered", "position": here, "fan_out": 2,
               "attempts": attempts(200)}
        two = dict(one, delivery_id="dlv_2", endpoint="b", state="dead", attempts=attempts(400))
        with Api(deliveries=[(200, {"deliveries": [one, two]})]) as api:
            done = api.publish(*ONE, "--id", "e1", "--wait", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([json.loads(line) for line in done.stdout.splitlines()[1:]],
                         [{"id": "e1", "webhook_id": "msg_e1", "endpoint": "a", "outcome": "delivered",
                           "text": "delivered (HTTP 200)"},
                          {"id": "e1", "webhook_id": "msg_e1", "endpoint": "b", "outcome": "dead",
                           "text": "failed (HTTP 400), a dead letter"}])
        with Api(deliveries=[(200, {"deliveries": [], "explanation": "matches none"})]) as api:
            done = api.publish(*ONE, "--id", "e1", "--wait", "--json")
        self.assertEqual(json.loads(done.stdout.splitlines()[1]),
                         {"id": "e1", "webhook_id": "msg_e1", "endpoint": None, "outcome": "none",
                          "text": "matches none"})

    def test_wait_hears_that_an_event_has_no_delivery(self):
        with Api(deliveries=[(200, {"deliveries": [], "explanation": "no endpoint of acme takes order.created"})]) as api:
            done = api.publish(*ONE, "--id", "e1", "--wait")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("no endpoint of acme takes order.created", done.stdout)

    def test_wait_takes_an_event_for_a_repeat_when_only_another_has_deliveries(self):
        other = {"delivery_id": "dlv_0", "endpoint": "c", "state": "delivered", "fan_out": 1,
                 "position": {"partition": 3, "offset": -9}, "attempts": attempts(200)}
        with Api(deliveries=[(200, {"deliveries": [other]})]) as api:
            done = api.publish(*ONE, "--id", "e1", "--wait")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("e1  msg_e1  no delivery of its own: a repeat of an earlier event", done.stdout)

    def test_wait_gives_up_at_its_bound(self):
        with Api(deliveries=[(200, {"deliveries": []})]) as api:
            done = api.publish(*ONE, "--wait", "--wait-timeout", "0.5", "--json")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(json.loads(done.stderr)["code"], "WAIT_TIMEOUT")
        self.assertEqual(len(done.stdout.splitlines()), 1)

    def test_exit_codes_of_wrong_use_and_of_nobody_there(self):
        with tempfile.TemporaryDirectory() as folder:
            empty = os.path.join(folder, "empty")
            open(empty, "w", encoding="utf-8").close()
            for options in [(), ("--to", "ftp://x", *ONE), ("--to", "http://127.0.0.1:1", "--tenant", "acme"),
                            ("--to", "http://127.0.0.1:1", *ONE, "--file", "x"),
                            ("--to", "http://127.0.0.1:1", *ONE, "--data", "/no/such/file"),
                            ("--to", "http://127.0.0.1:1", *ONE, "--attribute", "novalue"),
                            ("--to", "http://127.0.0.1:1", *ONE, "--token-file", "/no/such/file"),
                            ("--to", "kafka://127.0.0.1:1", "--tenant", "acme", "--type", "t"),
                            ("--to", "kafka://127.0.0.1:1", *ONE, "-X", "no.such.property=1"),
                            ("--to", "http://127.0.0.1:1", *ONE, "--unknown")]:
                self.assertEqual(publish(*options).returncode, 2, options)
                done = publish(*options, "--json")
                self.assertEqual(done.returncode, 2, options)
                self.assertEqual(set(json.loads(done.stderr)), {"code", "message", "suggestion", "retryable"}, options)
        done = publish("--to", "http://127.0.0.1:1", *ONE, "--json")
        self.assertEqual((done.returncode, json.loads(done.stderr)["code"]), (3, "API_UNREACHABLE"))
        self.assertEqual(publish("--to", "kafka://127.0.0.1:1", *ONE).returncode, 3)
        told = publish("--help")
        self.assertEqual(told.returncode, 0)
        self.assertIn("0 acknowledged, and with --wait every first outcome is known", " ".join(told.stdout.split()))
        told = publish("--version")
        self.assertEqual(told.returncode, 0)
        self.assertRegex(told.stdout, r"^postrider-publish \d+\.\d+\.\d+\n$")


if __name__ == "__main__":
    PUBLISH = sys.argv.pop(1)
    unittest.main()
