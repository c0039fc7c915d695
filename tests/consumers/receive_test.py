#!/usr/bin/env python3
"""postrider-receive from outside: what a sender and a script that reads the record can see of it.

Run as: receive_test.py PATH/OF/postrider-receive. Needs nothing but Python's own library and openssl(1).
"""
import base64
import hashlib
import hmac
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import unittest

RECEIVE = ""
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET = "whsec_" + base64.b64encode(b"another secret of 32 bytes......").decode()


def signed(webhook_id, body, secret=SECRET, at=None, scheme="standard"):
    at = str(int(time.time() if at is None else at))
    key = base64.b64decode(secret.split("_", 1)[1])
    if scheme == "x-webhook":
        code = hmac.new(key, at.encode() + b"." + body, hashlib.sha256).hexdigest()
        return {"webhook-id": webhook_id, "X-Webhook-Timestamp": at, "X-Webhook-Signature": "sha256=" + code}
    code = hmac.new(key, b".".join([webhook_id.encode(), at.encode(), body]), hashlib.sha256).digest()
    return {"webhook-id": webhook_id, "webhook-timestamp": at,
            "webhook-signature": "v1," + base64.b64encode(code).decode()}


class Receiver:
    def __init__(self, *options, secrets=("env:SECRET",), tls=None):
        self.folder = tempfile.TemporaryDirectory()
        self.record = os.path.join(self.folder.name, "record.jsonl")
        command = [RECEIVE, "--listen", "127.0.0.1:0", "--record", self.record, *options]
        for secret in secrets:
            command += ["--secret", secret]
        if tls:
            command += ["--tls", *tls]
        environment = dict(os.environ, SECRET=SECRET, OTHER=OTHER_SECRET)
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        first = self.process.stdout.readline()
        url = json.loads(first)["listening"] if "--json" in options else first.split()[-1]
        self.scheme, rest = url.split("://")
        self.port = int(rest.rsplit(":", 1)[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.rest = self.process.stdout.read()
        self.process.stdout.close()
        self.exit_code = self.process.wait(10)
        self.folder.cleanup()

    def connection(self, timeout=10):
        if self.scheme == "https":
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout, context=context)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def post(self, headers, body, timeout=10):
        connection = self.connection(timeout)
        try:
            connection.request("POST", "/hook", body, headers)
            answer = connection.getresponse()
            answer.read()
            return answer
        finally:
            connection.close()

    def status(self, headers, body):
        return self.post(headers, body).status

    def records(self):
        with open(self.record, encoding="utf-8") as file:
            return [json.loads(line) for line in file]


BODY = b'{"order": 7, "name": "\xc3\xbc"}'


class Receive(unittest.TestCase):
    def test_gives_back_a_challenge_that_is_signed_and_no_other(self):
        value = "chl_0123456789abcdefghij"
        body = b'{"type":"postrider.endpoint.challenge","challenge":"' + value.encode() + b'"}'
        with Receiver("--answer", "503") as receiver:
            asked = lambda body, value: dict(signed("msg_1", body), **{"webhook-challenge": value})
            answer = receiver.post(asked(body, value), body)
            self.assertEqual((answer.status, answer.headers["webhook-challenge"]), (200, value))
            for headers, status in ((asked(BODY, value), 503), (asked(body, "chl_0123456789abcdefghiX"), 503),
                                    ({"webhook-challenge": value}, 401)):
                answer = receiver.post(headers, BODY if status == 503 and value in headers.values() else body)
                self.assertEqual((answer.status, answer.headers["webhook-challenge"]), (status, None))
        self.assertIn("a challenge: given back", receiver.rest)

    def test_a_signed_webhook_is_answered_200_and_recorded_byte_for_byte(self):
        with Receiver() as receiver:
            headers = dict(signed("msg_1", BODY), **{"ce-type": "order.created"})
            self.assertEqual(receiver.status(headers, BODY), 200)
            (record,) = receiver.records()
        self.assertEqual(list(record), ["at", "webhook_id", "timestamp", "verified", "repeat", "status", "headers",
                                        "body_base64"])
        self.assertEqual(base64.b64decode(record["body_base64"]), BODY)
        self.assertEqual((record["webhook_id"], record["verified"], record["repeat"], record["status"]),
                         ("msg_1", True, False, 200))
        self.assertEqual(record["timestamp"], int(headers["webhook-timestamp"]))
        self.assertEqual(record["headers"]["ce-type"], "order.created")
        self.assertRegex(record["at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertIn("order.created  msg_1  verified, answered 200", receiver.rest)
        self.assertEqual(receiver.exit_code, 0)

    def test_what_does_not_verify_is_answered_401(self):
        now = time.time()
        with Receiver() as receiver:
            good = signed("msg_1", BODY)
            self.assertEqual(receiver.status(good, BODY + b" "), 401)
            self.assertEqual(receiver.status(dict(good, **{"webhook-id": "msg_2"}), BODY), 401)
            self.assertEqual(receiver.status(signed("msg_1", BODY, OTHER_SECRET), BODY), 401)
            self.assertEqual(receiver.status(signed("msg_1", BODY, at=now - 310), BODY), 401)
            self.assertEqual(receiver.status(signed("msg_1", BODY, at=now + 310), BODY), 401)
            self.assertEqual(receiver.status({}, BODY), 401)
            self.assertEqual(receiver.status(good, BODY), 200)
            self.assertEqual([r["verified"] for r in receiver.records()], [False] * 6 + [True])
            self.assertEqual([r["status"] for r in receiver.records()], [401] * 6 + [200])

    def test_a_repeat_is_dropped_and_a_retry_after_a_failure_is_none(self):
        with Receiver("--answer-first", "2:503", "--answer-first", "1:429", "--retry-after", "7") as receiver:
            answers = [receiver.post(signed("msg_1", BODY), BODY) for _ in range(5)]
            self.assertEqual([a.status for a in answers], [503, 503, 429, 200, 200])
            self.assertEqual([a.getheader("Retry-After") for a in answers], ["7", "7", "7", None, None])
            self.assertEqual(receiver.status(signed("msg_2", BODY), BODY), 503)  # counted per webhook-id
            self.assertEqual([r["repeat"] for r in receiver.records()], [False] * 4 + [True, False])

    def test_both_secrets_of_a_rotation_and_both_schemes_are_accepted(self):
        with Receiver(secrets=("env:SECRET", "env:OTHER")) as receiver:
            self.assertEqual(receiver.status(signed("msg_1", BODY), BODY), 200)
            self.assertEqual(receiver.status(signed("msg_2", BODY, OTHER_SECRET), BODY), 200)
            self.assertEqual(receiver.status(signed("msg_3", BODY, scheme="x-webhook"), BODY), 200)
            self.assertTrue(all(record["verified"] for record in receiver.records()))

    def test_reset_and_hang_give_no_answer_and_the_receiver_goes_on(self):
        with Receiver("--answer-first", "1:reset", "--answer-first", "1:hang") as receiver:
            with self.assertRaises(ConnectionResetError):
                receiver.post(signed("msg_1", BODY), BODY)
            with self.assertRaises(TimeoutError):
                receiver.post(signed("msg_1", BODY), BODY, timeout=0.5)
            self.assertEqual(receiver.status(signed("msg_1", BODY), BODY), 200)
            self.assertEqual([r["status"] for r in receiver.records()], [0, 0, 200])

    def test_tls_keep_alive_and_reset(self):
        with tempfile.TemporaryDirectory() as folder:
            pair = [os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")]
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                            "-nodes", "-days", "2", "-subj", "/CN=localhost", "-out", pair[0], "-keyout", pair[1]],
                           check=True, stderr=subprocess.DEVNULL)
            with Receiver("--answer-first", "1:reset", tls=pair) as receiver:
                self.assertEqual(receiver.scheme, "https")
                with self.assertRaises((ConnectionResetError, ssl.SSLError)):
                    receiver.post(signed("msg_1", BODY), BODY)
                connection = receiver.connection()
                for _ in range(3):
                    connection.request("POST", "/", BODY, signed("msg_1", BODY))
                    answer = connection.getresponse()
                    answer.read()
                    self.assertEqual(answer.status, 200)
                connection.close()

    def test_other_methods_and_endless_bodies_are_refused(self):
        with Receiver() as receiver:
            connection = receiver.connection()
            connection.request("GET", "/")
            self.assertEqual(connection.getresponse().status, 405)
            connection.close()
            with socket.create_connection(("127.0.0.1", receiver.port), 10) as raw:
                raw.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n")
                self.assertIn(b"413", raw.recv(1000))
            self.assertEqual(receiver.status(signed("msg_1", BODY), BODY), 200)

    def test_json_prints_the_records(self):
        with Receiver("--json") as receiver:
            receiver.post(signed("msg_1", BODY), BODY)
            expected = receiver.records()
        self.assertEqual([json.loads(line) for line in receiver.rest.splitlines()], expected)

    def test_a_strangers_bytes_do_not_steer_the_terminal(self):
        with Receiver() as receiver:
            with socket.create_connection(("127.0.0.1", receiver.port), 10) as raw:
                raw.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nwebhook-id: \x1b[31mred\r\nContent-Length: 0\r\n\r\n")
                raw.recv(1000)
        self.assertNotIn("\x1b", receiver.rest)

    def test_wrong_use_exits_2_and_a_taken_port_1(self):
        def run(*options):
            return subprocess.run([RECEIVE, *options], capture_output=True, text=True, timeout=20,
                                  env=dict(os.environ, SECRET=SECRET))

        for options in [(), ("--no-such-option",), ("--secret", SECRET), ("--secret", "env:NOT_SET_HERE"),
                        ("--secret", "env:SECRET", "--answer", "99"), ("--secret", "env:SECRET", "--listen", "x"),
                        ("--secret", "env:SECRET", "--answer-first", "503"),
                        ("--secret", "env:SECRET", "--tls", "/none", "/none")]:
            done = run(*options)
            self.assertEqual(done.returncode, 2, options)
            self.assertEqual(set(json.loads(run(*options, "--json").stderr)),
                             {"code", "message", "suggestion", "retryable"})
            self.assertNotIn(SECRET[6:], done.stderr + done.stdout)
        self.assertRegex(run("--secret", SECRET).stderr, r"^postrider-receive: .* \(SECRET_SPELLING\)\n  ")
        version = run("--version")
        self.assertEqual(version.returncode, 0)
        self.assertRegex(version.stdout, r"^postrider-receive \d+\.\d+\.\d+\n$")
        with Receiver() as receiver:
            taken = run("--secret", "env:SECRET", "--listen", f"127.0.0.1:{receiver.port}", "--json")
            self.assertEqual(taken.returncode, 1)
            self.assertEqual(json.loads(taken.stderr)["code"], "CANNOT_LISTEN")


if __name__ == "__main__":
    RECEIVE = sys.argv.pop(1)
    unittest.main()
