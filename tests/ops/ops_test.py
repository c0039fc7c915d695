#!/usr/bin/env python3
"""postrider-ops from outside: its exit codes, its two kinds of output, and what it asks an API that behaves as told.

Run as: ops_test.py PATH/OF/postrider-ops. Needs nothing but Python's own library.
"""
import http.server
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import unittest

from runbook_test import Runbook  # noqa: F401: run with these

OPS = ""
CANARY = "whsec_Q2FuYXJ5Q2FuYXJ5Q2FuYXJ5Q2FuYXJ5"


class Api:
    """Answers by (method, path without its query); what it has no answer for is 404."""

    def __init__(self, answers=None):
        api = self
        self.answers = {("GET", "/healthz"): (200, {"status": "ok", "environment": "development"})}
        self.answers.update(answers or {})
        self.requests = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                path, _, query = self.path.partition("?")
                api.requests.append((self.command, path, query, json.loads(body) if body else None,
                                     dict(self.headers.items())))
                answer = api.answers.get((self.command, path), (404, problem("NOT_FOUND", "there is no such thing")))
                if callable(answer):
                    answer = answer(query, api.requests[-1][3])
                status, text = answer[0], answer[1] if isinstance(answer[1], bytes) else json.dumps(answer[1]).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PUT = do_DELETE = handle_any

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = "http://127.0.0.1:%d" % self.server.server_port

    def asked(self, method, path=None):
        return [r for r in self.requests if r[0] == method and (path is None or r[1] == path)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def problem(code, message, **more):
    return dict({"code": code, "message": message, "suggestion": "do otherwise", "retryable": False}, **more)


class Case(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.folder = self.scratch.name

    def tearDown(self):
        self.scratch.cleanup()

    def path(self, name, text=None):
        path = os.path.join(self.folder, name)
        if text is not None:
            with open(path, "w") as file:
                file.write(text)
        return path

    def run_ops(self, *arguments, env=None, stdin=""):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("POSTRIDER_")}
        done = subprocess.run([OPS, *arguments], capture_output=True, text=True, timeout=60, cwd=self.folder,
                              env=dict(clean, **(env or {})), input=stdin)
        done.objects = [json.loads(line) for line in done.stdout.splitlines()] if "--json" in arguments else []
        return done

    def refuses(self, code, *arguments, env=None):
        done = self.run_ops(*arguments, "--json", env=env)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        error = json.loads(done.stderr)
        self.assertEqual({"code", "message", "suggestion", "retryable"} - set(error), set())
        return error


class Use(Case):
    def test_help_and_version_are_no_errors(self):
        for arguments in (["--help"], ["topics", "--help"], ["replay", "--help"], ["--version"]):
            self.assertEqual(self.run_ops(*arguments).returncode, 0)

    def test_wrong_use_is_two(self):
        for arguments in ([], ["topics"], ["bogus"], ["topics", "create"], ["topics", "check", "--log", "kafka://h:1"],
                          ["topics", "check", "--log", "nowhere", "--environment", "development"],
                          ["topics", "check", "--log", "kafka://h:1", "--environment", "No"],
                          ["topics", "grow", "--log", "embedded:x", "--environment", "development", "--partitions", "8"],
                          ["topics", "create", "--log", "kafka://h:1", "--environment", "x", "--retention-events", "1h"],
                          ["topics", "accept-source", "--partition", "0", "--log", "embedded:x", "--environment", "x"],
                          ["endpoints", "list"], ["endpoints", "list", "--api", "ftp://h"],
                          ["endpoints", "show", "a b", "c", "--api", "http://127.0.0.1:1"],
                          ["replay", "--api", "http://127.0.0.1:1"], ["replay", "order-9", "--api", "http://127.0.0.1:1"],
                          ["replay", "dlv_0_" + "a" * 22, "--tenant", "acme", "--api", "http://127.0.0.1:1"],
                          ["replay", "--job", "rpl_x", "--api", "http://127.0.0.1:1"],
                          ["deliveries", "show", "", "--api", "http://127.0.0.1:1"],
                          ["bogus", "--help"], ["replay", "--reason", "tired", "--api", "http://127.0.0.1:1"],
                          ["dead-letters", "list"], ["tokens", "reset"],
                          ["endpoints", "list", "--api", "http://127.0.0.1:1", "--token-file", "nowhere"]):
            with self.subTest(" ".join(arguments)):
                self.refuses(2, *arguments)

    def test_help_names_the_reasons_that_there_are(self):
        for verb in (["replay"], ["dead-letters", "list"], ["dead-letters", "summary"]):
            help = self.run_ops(*verb, "--help").stdout
            self.assertIn("client_error", help)
            self.assertIn("bad_attribute", help)
            self.assertNotIn("rejected", help)

    def test_plain_errors_say_what_is_wrong_and_what_to_do(self):
        done = self.run_ops("endpoints", "list")
        self.assertEqual(done.returncode, 2)
        self.assertIn("--api", done.stderr)
        self.assertFalse(done.stderr.startswith("{"))

    def test_nobody_there_is_three(self):
        self.assertEqual(self.refuses(3, "endpoints", "list", "--api", "http://127.0.0.1:1")["code"], "API_UNREACHABLE")

    def test_no_kafka_is_three(self):
        error = self.refuses(3, "topics", "check", "--log", "kafka://127.0.0.1:1", "--environment", "development")
        self.assertTrue(error["retryable"])

    def test_a_secret_on_the_command_line_is_refused_and_not_repeated(self):
        error = self.refuses(2, "topics", "check", "--log", "kafka://127.0.0.1:1", "--environment", "development",
                             "-X", "sasl.password=hunter2")
        self.assertNotIn("hunter2", json.dumps(error))


class Keys(Case):
    def test_a_key_file_is_made_once(self):
        done = self.run_ops("keys", "new", "a.key", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.objects[0]["path"], "a.key")
        self.assertEqual(done.objects[0]["service"], "file:" + os.path.realpath(self.path("a.key")))
        self.assertEqual(os.stat(self.path("a.key")).st_mode & 0o777, 0o600)
        with open(self.path("a.key")) as file:
            before = file.read()
        self.assertEqual(self.refuses(1, "keys", "new", "a.key")["code"], "KEY_FILE_EXISTS")
        with open(self.path("a.key")) as file:
            self.assertEqual(file.read(), before)

    def test_it_goes_where_the_daemon_looks(self):
        done = self.run_ops("keys", "new", env={"POSTRIDER_KEYS_SERVICE": "file:b.key"})
        self.assertEqual(done.returncode, 0)
        self.assertTrue(os.path.exists(self.path("b.key")))

    def test_a_new_secret_stands_alone_on_stdout(self):
        done = self.run_ops("secrets", "new")
        self.assertRegex(done.stdout, r"\Awhsec_[A-Za-z0-9+/]{43}=\n\Z")
        self.assertNotEqual(done.stdout, self.run_ops("secrets", "new").stdout)


class OverTheApi(Case):
    def test_the_token_comes_from_a_file_or_a_variable(self):
        with Api({("GET", "/v1/endpoints"): (200, {"endpoints": []})}) as api:
            self.path("token", "ptk_file\n")
            self.run_ops("endpoints", "list", "--api", api.url, "--token-file", "token")
            self.run_ops("endpoints", "list", env={"POSTRIDER_TOKEN": "ptk_env", "POSTRIDER_API": api.url + "/"})
            self.assertEqual([r[4].get("Authorization") for r in api.requests], ["Bearer ptk_file", "Bearer ptk_env"])
            self.assertTrue(all(r[4].get("Postrider-Actor") for r in api.requests))

    def test_refusals_are_the_apis_own_words(self):
        with Api({("GET", "/v1/endpoints"): (401, problem("AUTH_FAILED", "there is no valid token"))}) as api:
            error = self.refuses(1, "endpoints", "list", "--api", api.url)
            self.assertEqual(error["code"], "AUTH_FAILED")
            self.assertIn("tokens reset", error["suggestion"])
            self.assertEqual(self.refuses(1, "dead-letters", "show", "dlv_0_x", "--api", api.url)["code"], "NOT_FOUND")

    def test_what_is_no_postriderd_is_told_so(self):
        with Api({("GET", "/v1/endpoints"): (200, b"<html>"), ("GET", "/v1/deliveries/x"): (502, b"<html>")}) as api:
            self.assertEqual(self.refuses(1, "endpoints", "list", "--api", api.url)["code"], "API_ANSWER_UNEXPECTED")
            self.assertEqual(self.refuses(3, "deliveries", "show", "x", "--api", api.url)["code"],
                             "API_ANSWER_UNEXPECTED")

    def test_odd_answers_do_not_crash_it(self):
        for odd in ({"endpoints": 3}, {"endpoints": [3, None, {"tenant": 4, "held": "x", "secrets": {}}]}, [], None):
            with Api({("GET", "/v1/endpoints"): (200, odd)}) as api:
                self.assertEqual(self.run_ops("endpoints", "list", "--api", api.url).returncode, 0, odd)

    def test_lists_are_one_object_a_line_or_a_table(self):
        endpoints = [{"tenant": "acme", "id": "orders", "state": "disabled", "since": "2026-01-31T12:00:00.123Z",
                      "why": "gone_410", "held": 7, "url": "https://a.example/"},
                     {"tenant": "globex", "id": "x", "state": "healthy", "since": None, "why": None, "held": 0,
                      "url": "https://b.example/"}]
        with Api({("GET", "/v1/endpoints"): (200, {"endpoints": endpoints})}) as api:
            self.assertEqual(self.run_ops("endpoints", "list", "--api", api.url, "--json").objects, endpoints)
            table = self.run_ops("endpoints", "list", "--api", api.url, "--tenant", "acme").stdout.splitlines()
            self.assertEqual(re.split(r"  +", table[1]),
                             ["acme", "orders", "disabled", "2026-01-31T12:00:00Z", "7", "https://a.example/", "gone_410"])
            self.assertEqual(api.requests[-1][2], "tenant=acme")

    def test_an_event_without_deliveries_says_why(self):
        why = "no endpoint of the tenant was subscribed to it"
        with Api({("GET", "/v1/deliveries/a%20b%2F1"): (200, {"deliveries": [], "explanation": why})}) as api:
            done = self.run_ops("deliveries", "show", "a b/1", "--api", api.url)
            self.assertEqual(done.returncode, 0)
            self.assertIn(why, done.stdout)
            self.assertEqual(self.run_ops("deliveries", "show", "a b/1", "--api", api.url, "--json").objects[0]["explanation"], why)

    def test_commands_reach_their_routes(self):
        view = {"tenant": "acme", "id": "orders", "state": "disabled"}
        place = "/v1/tenants/acme/endpoints/orders"
        with Api({("POST", place + "/disable"): (200, view), ("POST", place + "/enable"): (200, view),
                  ("DELETE", place): (200, {"deleted": True}), ("GET", place): (200, view),
                  ("POST", "/v1/dead-letters/dlv_0_x/resolve"): (200, {"delivery_id": "dlv_0_x"}),
                  ("POST", "/v1/tokens/reset"): (200, {"token": "ptk_new"})}) as api:
            def good(*arguments):
                done = self.run_ops(*arguments, "--api", api.url, "--json")
                self.assertEqual(done.returncode, 0, done.stderr)
                return done.objects[0]
            good("endpoints", "show", "acme", "orders")
            good("endpoints", "disable", "acme", "orders", "--why", "they asked")
            self.assertEqual(api.requests[-1][3], {"why": "they asked"})
            good("endpoints", "enable", "acme", "orders", "--no-wait")
            self.assertEqual(api.requests[-1][2], "wait=false")
            self.assertTrue(good("endpoints", "delete", "acme", "orders")["deleted"])
            good("dead-letters", "resolve", "dlv_0_x", "--why", "by phone")
            self.assertEqual(good("tokens", "reset"), {"token": "ptk_new"})

    def test_secrets_are_rotated_and_revoked(self):
        place = "/v1/tenants/acme/endpoints/orders/secrets"
        with Api({("POST", place + "/rotate"): (200, {"change": "updated", "secret": "whsec_new", "differences": []}),
                  ("DELETE", place + "/sec_1"): (200, {"change": "updated", "differences": ["secrets: sec_1 revoked"]}),
                  ("DELETE", place + "/sec_2"): (409, problem("LAST_SECRET", "no other one signs"))}) as api:
            made = self.run_ops("secrets", "rotate", "acme", "orders", "--overlap", "7d", "--api", api.url)
            self.assertEqual((made.returncode, made.stdout), (0, "whsec_new\n"), made.stderr)
            self.assertEqual(api.requests[-1][3], {"overlap": "7d"})
            given = self.run_ops("secrets", "rotate", "acme", "orders", "--secret", "env:MINE", "--no-wait", "--json",
                                 "--api", api.url, env={"MINE": CANARY})
            self.assertEqual(given.returncode, 0, given.stderr)
            self.assertEqual(api.requests[-1][2:4], ("wait=false", {"secret": CANARY}))
            self.assertNotIn(CANARY, given.stdout + given.stderr)
            before = len(api.requests)
            shown = self.run_ops("secrets", "rotate", "acme", "orders", "--secret", CANARY, "--api", api.url)
            self.assertEqual(shown.returncode, 2)
            self.assertNotIn(CANARY, shown.stdout + shown.stderr)
            self.assertEqual(len(api.requests), before)
            self.assertEqual(self.run_ops("secrets", "revoke", "acme", "orders", "sec_1", "--yes", "--api",
                                          api.url).returncode, 0)
            self.assertEqual(self.refuses(1, "secrets", "revoke", "acme", "orders", "sec_2", "--yes", "--api",
                                          api.url)["code"], "LAST_SECRET")

    def test_a_replay_sends_its_selector(self):
        report = {"job": "rpl_x", "matched": 2, "replayed": 2, "skipped": 0, "skipped_deliveries": [], "finished": True}
        with Api({("POST", "/v1/replays"): (200, report)}) as api:
            self.assertEqual(self.run_ops("replay", "dlv_0_" + "a" * 22, "--api", api.url, "--json").objects, [report])
            self.assertEqual(api.requests[-1][3], {"dry_run": False, "ids": ["dlv_0_" + "a" * 22]})
            self.run_ops("replay", "--tenant", "acme", "--reason", "client_error", "--since", "2026-01-31T12:00:00Z",
                         "--rate", "5", "--dry-run", "--api", api.url)
            self.assertEqual(api.requests[-1][3], {"dry_run": True, "rate": 5.0, "filter": {
                "tenant": "acme", "reason": "client_error", "since": "2026-01-31T12:00:00.000Z"}})

    def test_a_replay_that_left_some_out_is_a_finding(self):
        report = {"job": "rpl_x", "matched": 0, "replayed": 0, "skipped": 1, "finished": True,
                  "skipped_deliveries": [{"delivery_id": "dlv_0_x", "why": "not_found"}]}
        with Api({("POST", "/v1/replays"): (200, report)}) as api:
            done = self.run_ops("replay", "dlv_0_" + "a" * 22, "--api", api.url)
            self.assertEqual(done.returncode, 1)
            self.assertIn("not_found", done.stdout)

    def test_events_and_statistics_are_shown(self):
        event = {"id": "e1", "webhook_id": "msg_1", "tenant": "acme", "source": "/shop", "type": "order.created",
                 "time": None, "partition": 3, "offset": 17, "bytes": 10}
        sums = {"tenant": "acme", "id": "shop", "since": "2026-01-31T12:00:00.000Z", "looked_back_to": None,
                "attempts": {"total": 3, "succeeded": 2, "failed": 1, "by_outcome": {"HTTP_200": 2, "TIMEOUT": 1}},
                "latency_ms": {"p50": 4, "p95": 9}, "deliveries": {"delivered": 2, "waiting": 1, "dead": 0},
                "here": {"state": "healthy", "queued": 0}}
        with Api({("GET", "/v1/events/3-17"): (200, event),
                  ("GET", "/v1/events/msg_1/payload"): (200, {"data_base64": "aGVsbG8="}),
                  ("GET", "/v1/tenants/acme/endpoints/shop/statistics"): (200, sums)}) as api:
            self.assertRegex(self.run_ops("events", "show", "3-17", "--api", api.url).stdout, r"position +3-17")
            self.assertEqual(self.run_ops("events", "payload", "msg_1", "--api", api.url).stdout, "hello")
            shown = self.run_ops("endpoints", "statistics", "acme", "shop", "--window", "7d", "--api", api.url).stdout
            self.assertIn("HTTP_200 2, TIMEOUT 1", shown)
            self.assertIn("window=7d", api.requests[-1][2])

    def test_replays_are_listed_shown_and_cancelled(self):
        job = {"job": "rpl_x", "state": "running", "finished": False, "tenant": None, "actor": "alice", "ids": 0,
               "filter": {"tenant": "acme", "reason": None}, "rate": 5.0, "matched": 9, "replayed": 4, "remaining": 5,
               "skipped": 0, "skipped_deliveries": [], "error": None, "created_at": "2026-01-31T12:00:00.000Z",
               "started_at": None, "ended_at": None}
        with Api({("GET", "/v1/replays"): (200, {"replays": [job], "next_cursor": None}),
                  ("GET", "/v1/replays/rpl_x"): (200, job),
                  ("POST", "/v1/replays/rpl_x/cancel"): (202, dict(job, state="cancelling"))}) as api:
            listed = self.run_ops("replays", "list", "--state", "running", "--api", api.url)
            self.assertRegex(listed.stdout, r"rpl_x +running +4/9 .*alice +tenant=acme")
            self.assertIn("state=running", api.requests[-1][2])
            self.assertEqual(self.run_ops("replays", "show", "rpl_x", "--api", api.url, "--json").objects, [job])
            self.assertRegex(self.run_ops("replays", "cancel", "rpl_x", "--api", api.url).stdout, "state +cancelling")
            self.assertEqual(self.refuses(1, "replays", "show", "rpl_y", "--api", api.url)["code"], "NOT_FOUND")

    def test_a_replay_that_goes_on_is_not_told_as_whole(self):
        report = {"job": "rpl_x", "matched": 5, "replayed": 5, "skipped": 0, "skipped_deliveries": [], "finished": False}
        with Api({("POST", "/v1/replays"): (202, report)}) as api:
            done = self.run_ops("replay", "--tenant", "acme", "--rate", "1", "--api", api.url)
            self.assertEqual(done.returncode, 0)
            self.assertIn("5 replayed so far, by job rpl_x", done.stdout)
            self.assertIn("replays show rpl_x", done.stdout)
            self.assertNotIn("5 of 5", done.stdout)
            self.assertEqual(self.run_ops("replay", "--tenant", "acme", "--api", api.url, "--json").objects, [report])
        left = dict(report, job=None, matched=4, replayed=0, done_before=5, finished=True)
        with Api({("POST", "/v1/replays"): (200, left)}) as api:
            asked = self.run_ops("replay", "--tenant", "acme", "--job", "rpl_x", "--dry-run", "--api", api.url)
            self.assertIn("4 would be replayed.", asked.stdout)
            self.assertIn("5 were done before.", asked.stdout)

    def test_a_list_is_followed_to_its_end_or_to_its_limit(self):
        def page(query, _):
            at = int(query.rpartition("cursor=")[2]) if "cursor=" in query else 0
            rows = [{"delivery_id": f"dlv_0_{i}", "tenant": "acme", "state": "parked", "attempts": i, "last_status": 503,
                     "last_error": None} for i in range(at, min(at + 2, 5))]
            return 200, {"deliveries": rows, "next_cursor": str(at + 2) if at + 2 < 5 else None}

        with Api({("GET", "/v1/deliveries"): page}) as api:
            all_of_them = self.run_ops("deliveries", "list", "--tenant", "acme", "--state", "parked", "--since", "2h",
                                       "--event", "e 1", "--api", api.url, "--json")
            self.assertEqual([row["delivery_id"] for row in all_of_them.objects], [f"dlv_0_{i}" for i in range(5)])
            for word in ("tenant=acme", "state=parked", "since=", "event_id=e%201"):
                self.assertIn(word, api.requests[-1][2])
            some = self.run_ops("deliveries", "list", "--limit", "3", "--api", api.url)
            self.assertEqual(some.stdout.count("dlv_0_"), 3)
            self.assertIn("There are more", some.stderr)
            self.refuses(2, "deliveries", "list", "--state", "queued", "--api", api.url)

    def test_attempts_and_audit_facts_are_shown(self):
        attempt = {"n": 2, "at": "2026-01-31T12:00:00.000Z", "status": 503, "code": "HTTP_503", "verdict": "retry",
                   "duration_ms": 12, "next_at": None, "receiver_request_id": "r-7"}
        fact = {"at": "2026-01-31T12:00:00.000Z", "actor": "alice\x1b[2J", "token_id": "ab12", "action": "payload_read",
                "resource": "deliveries/dlv_0_x", "subject_id": "dlv_0_x", "tenant": "acme", "outcome": "shown",
                "scope": None, "error": None}
        with Api({("GET", "/v1/deliveries/dlv_0_x/attempts"): (200, {"attempts": [attempt], "next_cursor": None}),
                  ("GET", "/v1/audit"): (200, {"audit": [fact], "next_cursor": None})}) as api:
            table = self.run_ops("deliveries", "attempts", "dlv_0_x", "--api", api.url).stdout.splitlines()
            self.assertEqual(re.split(r"  +", table[1]), ["2", "2026-01-31T12:00:00Z", "503", "HTTP_503", "retry", "12",
                                                          "-", "r-7"])
            audit = self.run_ops("audit", "list", "--tenant", "acme", "--by", "alice", "--action", "payload_read",
                                 "--since", "7d", "--api", api.url).stdout
            self.assertIn("deliveries/dlv_0_x", audit)
            self.assertNotIn("\x1b", audit)
            for word in ("tenant=acme", "actor=alice", "action=payload_read", "since="):
                self.assertIn(word, api.requests[-1][2])

    def test_a_payload_is_printed_byte_for_byte(self):
        answer = {"delivery_id": "dlv_0_x", "event": None, "bytes": 3, "data_base64": "AAFC"}
        with Api({("GET", "/v1/deliveries/dlv_0_x/payload"): (200, answer)}) as api:
            done = subprocess.run([OPS, "deliveries", "payload", "dlv_0_x", "--api", api.url], capture_output=True)
            self.assertEqual(done.stdout, b"\x00\x01B", done.stderr)

    def test_a_token_is_made_shown_once_listed_and_revoked(self):
        token = {"token": "ptk_new", "id": "tok_1", "name": "shop", "tenant": "acme", "scopes": ["events:publish"],
                 "state": "active", "created_by": "alice", "expires_at": "2026-03-01T00:00:00.000Z",
                 "review_at": "2026-02-01T00:00:00.000Z", "review_due": True}
        listed = {name: value for name, value in token.items() if name != "token"}
        answers = {("POST", "/v1/tokens"): (201, token), ("GET", "/v1/tokens"): (200, {"tokens": [listed]}),
                   ("DELETE", "/v1/tokens/tok_1"): (200, {**listed, "state": "revoked"})}
        with Api(answers) as api:
            done = self.run_ops("tokens", "create", "--name", "shop", "--tenant", "acme", "--scope", "events:publish",
                                "--scope", "replays:write", "--api", api.url)
            self.assertEqual(done.stdout, "ptk_new\n", done.stderr)
            self.assertIn("the tenant acme", done.stderr)
            self.assertEqual(api.requests[-1][3],
                             {"name": "shop", "tenant": "acme", "scopes": ["events:publish", "replays:write"]})
            table = self.run_ops("tokens", "list", "--tenant", "acme", "--api", api.url).stdout.splitlines()
            self.assertEqual(re.split(r"  +", table[1]),
                             ["tok_1", "shop", "acme", "active", "never", "2026-03-01T00:00:00Z", "2026-02-01T00:00:00Z (due)",
                              "alice", "events:publish"])
            self.assertEqual(api.requests[-1][2], "tenant=acme")
            self.assertIn("tok_1 is revoked", self.run_ops("tokens", "revoke", "tok_1", "--api", api.url).stdout)
            self.assertEqual(self.refuses(2, "tokens", "create", "--name", "a", "--expires", "soon", "--api",
                                          api.url)["code"], "WRONG_USE")
            self.refuses(2, "tokens", "create", "--name", "a", "--role", "viewer", "--scope", "admin", "--api", api.url)

    def test_a_new_token_leaves_word_of_the_file_that_holds_the_old_one(self):
        with Api({("POST", "/v1/tokens/reset"): (200, {"token": "ptk_new"})}) as api:
            done = self.run_ops("tokens", "reset", "--api", api.url)
            self.assertEqual(done.stdout, "ptk_new\n")
            self.assertIn("DATA/admin.token", done.stderr)


FILE = """environment = "development"

[[endpoint]]
tenant = "acme"
id = "orders"
url = "https://a.example/?token=QUERY"
types = ["order.*"]
retry = ["5s", "5m"]
secrets = ["env:ACME_SECRET"]

[[endpoint]]
tenant = "acme"
id = "all"
url = "https://b.example/"
"""


class Apply(Case):
    """The daemon as far as apply sees it: what was put is what is there."""

    def api(self):
        state = {}

        def put(place):
            def answer(query, body):
                change = "created" if place not in state else "unchanged" if state[place] == body else "updated"
                made = {"change": change, "differences": [] if change == "unchanged" else ["url:  → x"], "revision": 1}
                if "dry_run=true" not in query:
                    state[place] = body
                    if change == "created" and "secrets" not in body:
                        made["secret"] = CANARY
                return 200, made
            return answer
        routes = {("PUT", place): put(place) for place in
                  ("/v1/tenants/acme/endpoints/orders", "/v1/tenants/acme/endpoints/all")}
        return Api(routes)

    def test_it_creates_shows_the_secret_once_and_then_changes_nothing(self):
        self.path("e.toml", FILE)
        with self.api() as api:
            env = {"ACME_SECRET": CANARY}
            first = self.run_ops("endpoints", "apply", "e.toml", "--api", api.url, "--json", env=env)
            self.assertEqual(first.returncode, 0, first.stderr)
            self.assertEqual([(o["endpoint"], o["change"], o.get("secret")) for o in first.objects],
                             [("orders", "created", None), ("all", "created", CANARY)])
            body = api.asked("PUT", "/v1/tenants/acme/endpoints/orders")[0][3]
            self.assertEqual(body, {"url": "https://a.example/?token=QUERY", "types": ["order.*"],
                                    "retry": ["5s", "5m"], "secrets": [CANARY]})
            self.assertEqual([r[2] for r in api.asked("PUT")],
                             ["dry_run=true", "dry_run=true", "wait=false", "wait=true"])
            before = len(api.requests)
            second = self.run_ops("endpoints", "apply", "e.toml", "--api", api.url, "--json", env=env)
            self.assertEqual([(o["change"], "secret" in o) for o in second.objects], [("unchanged", False)] * 2)
            self.assertTrue(all(r[2] in ("", "dry_run=true") for r in api.requests[before:]))

    def test_a_file_without_endpoints_is_refused(self):
        self.path("e.toml", "environment = \"development\"\n")
        with self.api() as api:
            error = self.refuses(1, "endpoints", "apply", "e.toml", "--api", api.url)
            self.assertIn("declares no endpoint", error["message"])

    def test_it_reads_standard_input(self):
        with self.api() as api:
            done = self.run_ops("endpoints", "apply", "-", "--api", api.url, env={"ACME_SECRET": CANARY}, stdin=FILE)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("acme/orders  created", done.stdout)

    def test_a_dry_run_writes_nothing(self):
        self.path("e.toml", FILE)
        with self.api() as api:
            done = self.run_ops("endpoints", "apply", "e.toml", "--dry-run", "--api", api.url,
                                env={"ACME_SECRET": CANARY})
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("would be created", done.stdout)
            self.assertEqual({r[2] for r in api.asked("PUT")}, {"dry_run=true"})

    def test_one_refused_endpoint_stops_all_before_any_change(self):
        self.path("e.toml", FILE)
        with self.api() as api:
            api.answers[("PUT", "/v1/tenants/acme/endpoints/all")] = (400, problem("INVALID_ENDPOINT_URL", "no"))
            error = self.refuses(1, "endpoints", "apply", "e.toml", "--api", api.url, env={"ACME_SECRET": CANARY})
            self.assertEqual(error["code"], "INVALID_ENDPOINT_URL")
            self.assertIn("e.toml line 11", error["message"])
            self.assertEqual({r[2] for r in api.asked("PUT")}, {"dry_run=true"})

    def test_a_missing_secret_is_told_before_the_daemon_is_asked_for_anything(self):
        self.path("e.toml", FILE)
        with self.api() as api:
            self.assertEqual(self.refuses(2, "endpoints", "apply", "e.toml", "--api", api.url)["code"], "SECRET_MISSING")
            self.assertEqual(api.asked("PUT"), [])

    def test_another_environment_is_refused(self):
        self.path("e.toml", FILE.replace("development", "production"))
        with self.api() as api:
            error = self.refuses(1, "endpoints", "apply", "e.toml", "--api", api.url, env={"ACME_SECRET": CANARY})
            self.assertEqual(error["code"], "ENVIRONMENT_MISMATCH")
            self.assertEqual(api.asked("PUT"), [])

    def test_a_secret_in_the_file_is_refused_and_not_repeated(self):
        self.path("e.toml", FILE.replace("env:ACME_SECRET", CANARY))
        error = self.refuses(2, "endpoints", "apply", "e.toml", "--api", "http://127.0.0.1:1")
        self.assertEqual(error["code"], "SECRET_IN_FILE")
        self.assertNotIn("Q2Fu", json.dumps(error))

    def test_unreadable_and_unknown_are_wrong_configuration(self):
        self.assertEqual(self.refuses(2, "endpoints", "apply", "nowhere.toml", "--api", "http://127.0.0.1:1")["code"],
                         "INVALID_ENDPOINTS_FILE")
        self.path("e.toml", FILE + "colour = 3\n")
        self.assertIn("colour", self.refuses(2, "endpoints", "apply", "e.toml", "--api", "http://127.0.0.1:1")["message"])


if __name__ == "__main__":
    OPS = os.path.abspath(sys.argv.pop(1))
    unittest.main()
