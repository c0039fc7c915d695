"""Recorded traffic (record_traffic) played again: at the API of a fresh daemon, whose answers must be what they were but
for times, ids and sizes; and the webhooks at what customers verify with: consumers/verifier.h, the Python of the customer's
page, and postrider-receive at the time of the recording and at ours."""
import base64
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import redact_traffic
from kit import BUILD, ROOT, run_tool, scratch
from traffic import RECORDED, World

ID = re.compile(r"\b(?:dlv|msg|inc|sec|rpl|tok|test)_[A-Za-z0-9_]{10,}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
PLACEHOLDER = re.compile(r"<[a-z]+-\d+>")
VARIES = re.compile(r".*(_ms|bytes|offset)|phases_ms|token_id")  # with the machine, and with what was redacted
# Published examples (record_traffic): the secrets of the recorded webhooks.
SECRETS = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
           "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="]


def lines(name):
    return [json.loads(line) for line in (RECORDED / name).read_text().splitlines()]


class Player:
    """Says again what was said, with the ids and credentials of this time in place of the recorded ones."""

    def __init__(self, world):
        self.world, self.now, self.differences = world, {}, []
        self.urls = {f"https://receiver.example/{name}": receiver.url for name, receiver in world.receivers.items()}

    def today(self, text):
        for before, now in {**self.now, **self.urls}.items():
            text = text.replace(before, now)
        for unknown in PLACEHOLDER.findall(text):
            kind = unknown[1:].split("-")[0]
            fresh = run_tool("postrider-ops", "secrets", "new").out.strip() if kind == "secret" else "nobody's"
            text = text.replace(unknown, self.now.setdefault(unknown, fresh))
        return text

    def play(self, line, place):
        if "wait" in line:
            return self.world.wait(*line["wait"])
        request, answer = line["request"], line["answer"]
        headers = {name: self.today(value) for name, value in request["headers"].items()}
        body = request["body"] if isinstance(request["body"], str) else json.dumps(request["body"])
        status, told, said = self.world.ask(request["method"], self.today(request["path"]), headers, self.today(body) or None)
        place = f"{place}: {request['method']} {request['path']}"
        self.equal(answer["status"], status, f"{place}: status")
        for name in set(answer["headers"]) | {name for name in told if redact_traffic.ANSWER_HEADERS.fullmatch(name)}:
            self.equal(answer["headers"].get(name), told.get(name), f"{place}: {name}")
        text = json.dumps(said)
        for recorded, url in self.urls.items():
            text = text.replace(url, recorded)
        self.compare(answer["body"], json.loads(text), place)

    def equal(self, before, now, place):
        if before != now:
            self.differences.append(f"{place} was {before!r} and is {now!r}")

    def compare(self, before, now, place, key=""):
        if VARIES.fullmatch(key) and before is not None and now is not None:
            return self.equal(type(before), type(now), place)
        if isinstance(before, dict) and isinstance(now, dict):
            self.equal(sorted(before), sorted(now), f"{place}: members")
            for name in before.keys() & now.keys():
                self.compare(before[name], now[name], f"{place}.{name}", name)
        elif isinstance(before, list) and isinstance(now, list):
            self.equal(len(before), len(now), f"{place}: length")
            for i, (one, other) in enumerate(zip(in_order(before), in_order(now))):
                self.compare(one, other, f"{place}[{i}]", key)
        elif isinstance(before, str) and isinstance(now, str):
            self.compare_text(before, now, place, key)
        else:
            self.equal(before, now, place)

    def compare_text(self, before, now, place, key):
        if before == "redacted":
            return
        if PLACEHOLDER.fullmatch(before) or key == "next_cursor":
            return self.same(before, now, place)
        for one, other in zip(ID.findall(before), ID.findall(now)):
            self.same(one, other, place)
        self.equal(form(before), form(now), place)

    def same(self, before, now, place):
        """What was one thing then is one thing now."""
        self.equal(self.now.setdefault(before, now), now, f"{place}: {before}")


def form(text):
    return TIME.sub("<time>", ID.sub(lambda found: f"<{found[0][:3]}>", text))


def in_order(things):
    """Deliveries run at once: which of them ends first is nobody's promise."""
    known = lambda thing: json.dumps({key: value for key, value in thing.items() if key in ("id", "event_id", "endpoint", "name")
                                      and not ID.fullmatch(str(value))} if isinstance(thing, dict) else "")
    return sorted(things, key=known)


class Api(unittest.TestCase):
    def test_what_was_asked_once_is_answered_as_it_was(self):
        directory = scratch()
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        world = World(directory)
        self.addCleanup(world.close)
        player = Player(world)
        exchanges = lines("api.jsonl")
        # Whoever spoke first was the administrator.
        player.now[exchanges[0]["request"]["headers"]["authorization"].split()[1]] = world.token
        for number, line in enumerate(exchanges, 1):
            player.play(line, f"line {number}")
        self.assertGreater(len(exchanges), 50)
        self.assertEqual(player.differences, [], "\n".join(["", *player.differences]))


class Recording(unittest.TestCase):
    def test_holds_nothing_that_redacting_would_take_out(self):
        for line in lines("api.jsonl"):
            self.assertEqual(redact_traffic.Redactor().line(line), line)
        for file in RECORDED.iterdir():
            for name, form_of in redact_traffic.FORMATS:
                self.assertNotRegex(file.read_text(), form_of, name)

    def test_redacting_takes_out_each_secret_wherever_it_stands_and_keeps_the_form(self):
        secret, token, key = "whsec_" + "Ab1+" * 9, "ptk_" + "Ab1" * 12, "AKIA" + "ABCDEFGH12345678"
        line = {"request": {"method": "PUT", "path": f"/v1/x?of={token}", "body": {"secrets": [secret], "note": f"with {key}"},
                            "headers": {"authorization": f"Bearer {token}", "cookie": "a=b", "content-type": "application/json"}},
                "answer": {"status": 200, "headers": {"set-cookie": "a=b", "etag": '"1"'},
                           "body": {"said": f"{secret} of {token}", "url": "https://" + "ann:hunter22" + "@example.com/x?key=y",
                                    "data": {"buyer": "Ada", "paid": True, "lines": [{"price": 12.5}], "none": None}}}}
        redacted = redact_traffic.Redactor().line(line)
        for one in (secret, token, key, "hunter22", "ann", "cookie", "key=y", "Ada", "12.5"):
            self.assertNotIn(one, json.dumps(redacted))
        named = redacted["request"]["body"]["secrets"][0], redacted["request"]["headers"]["authorization"].split()[1]
        self.assertEqual(redacted["answer"]["body"]["said"], f"{named[0]} of {named[1]}")
        self.assertEqual(redacted["answer"]["body"]["data"],
                         {"buyer": "redacted", "paid": True, "lines": [{"price": 1}], "none": None})


FIELDS = ["webhook-id", "timestamp", "webhook-signature", "x-webhook-signature", "x-webhook-signature-next"]


def fields_of(webhook):
    headers = webhook["headers"]
    at = headers.get("webhook-timestamp") or headers["x-webhook-timestamp"]
    texts = [at if name == "timestamp" else headers.get(name, "") for name in FIELDS]
    return [text.encode() for text in texts] + [base64.b64decode(webhook["body_base64"])]


def altered(fields):
    """One byte another, one taken out, one more: each of them, in what is signed and in the signatures."""
    is_x = bool(fields[3])
    for i, field in enumerate(fields):
        # Absent; not covered by that signature; of two signatures one is enough.
        if not field or i == 0 and is_x or i == 2 and b" " in field:
            continue
        for at in range(len(field)):
            yield i, [*fields[:i], field[:at] + bytes([field[at] ^ 1]) + field[at + 1:], *fields[i + 1:]]
            yield i, [*fields[:i], field[:at] + field[at + 1:], *fields[i + 1:]]
        yield i, [*fields[:i], field + b"0", *fields[i + 1:]]


class Webhooks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.webhooks = lines("webhooks.jsonl")
        cls.folder = tempfile.TemporaryDirectory()
        cls.judge = pathlib.Path(cls.folder.name) / "verdicts"
        subprocess.run(["c++", "-std=c++17", "-I", ROOT, "-o", cls.judge, pathlib.Path(__file__).parent / "verdicts.cc",
                        "-lcrypto"], check=True)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def verdicts(self, asked, secrets=SECRETS):
        text = "".join("\t".join([str(now), *(field.hex() for field in fields)]) + "\n" for now, fields in asked)
        return subprocess.run([self.judge, *secrets], input=text, check=True, capture_output=True, text=True).stdout.splitlines()

    def test_every_scheme_and_form_is_there(self):
        names = [set(webhook["headers"]) for webhook in self.webhooks]
        for one in ("webhook-signature", "x-webhook-signature", "webhook-challenge", "ce-type"):
            self.assertTrue(any(one in there for there in names), one)
        signatures = " | ".join(webhook["headers"].get("webhook-signature", "") for webhook in self.webhooks)
        self.assertRegex(signatures, r"v1,\S+ v1,")
        self.assertRegex(signatures, r"v1a,")
        self.assertEqual({200, 503}, {webhook["status"] for webhook in self.webhooks})

    def test_the_customers_verifier_takes_them_at_their_time_alone(self):
        asked = [(webhook["now"], fields_of(webhook)) for webhook in self.webhooks]
        self.assertEqual(self.verdicts(asked), ["verified"] * len(asked))
        self.assertEqual(set(self.verdicts([(now + 301, fields) for now, fields in asked])), {"signed more than 300 s ago"})
        early = self.verdicts([(now - 301, fields) for now, fields in asked])
        self.assertEqual(set(early), {"signed more than 300 s in the future"})
        self.assertEqual(set(self.verdicts(asked, ["whsec_" + "A" * 32])), {"no signature matches"})

    def test_each_altered_byte_is_refused(self):
        asked = [(webhook["now"], fields, i) for webhook in self.webhooks for i, fields in altered(fields_of(webhook))]
        verdicts = self.verdicts([(now, fields) for now, fields, _ in asked])
        self.assertGreater(len(verdicts), 5000)
        passed = [(i, fields) for (_, fields, i), verdict in zip(asked, verdicts) if verdict == "verified"]
        self.assertEqual(passed, [])

    def test_the_page_for_customers_judges_alike(self):
        page = (ROOT / "consumers/README.md").read_text()
        code = {}
        for snippet in re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S):
            exec(snippet, code)  # as a customer would paste it
        verify = lambda webhook, body, now: any(
            code[name](secret, webhook["headers"], body, now) for secret in SECRETS
            for name in (["verify_v1a"] if secret.startswith("whpk_") else ["verify_v1", "verify_x_webhook"]))
        for webhook in self.webhooks:
            body, now = base64.b64decode(webhook["body_base64"]), webhook["now"]
            self.assertTrue(verify(webhook, body, now))
            self.assertFalse(verify(webhook, body, now + 301))
            others = (body[:at] + bytes([body[at] ^ 1]) + body[at + 1:] for at in range(len(body)))
            self.assertFalse(any(verify(webhook, other, now) for other in others))
            asked = webhook["headers"].get("webhook-challenge")
            self.assertEqual(code["challenge_answer"](webhook["headers"], body), asked)

    def receive(self, clock):
        """What postrider-receive answers to all of them, its clock being `clock`."""
        secrets = {f"SECRET_{i}": secret for i, secret in enumerate(SECRETS)}
        words = [word for name in secrets for word in ("--secret", f"env:{name}")]
        with subprocess.Popen([*clock, BUILD / "postrider-receive", "--json", *words], stdout=subprocess.PIPE, text=True,
                              start_new_session=True,
                              env={**os.environ, "TZ": "UTC", **secrets}) as process:
            try:
                place = json.loads(process.stdout.readline())["listening"].removeprefix("http://")
                for webhook in self.webhooks:
                    connection = http.client.HTTPConnection(place.split("/")[0], timeout=30)
                    connection.request("POST", "/hooks", base64.b64decode(webhook["body_base64"]), webhook["headers"])
                    answer = connection.getresponse()
                    answer.read()
                    yield answer.status, answer.getheader("webhook-challenge")
                    connection.close()
            finally:
                os.killpg(process.pid, signal.SIGKILL)  # faketime has a child

    def test_the_receiver_takes_them_at_their_time_and_refuses_them_in_ours(self):
        at = time.strftime("@%Y-%m-%d %H:%M:%S", time.gmtime(min(webhook["now"] for webhook in self.webhooks)))
        then = [(200, webhook["headers"].get("webhook-challenge")) for webhook in self.webhooks]
        self.assertEqual(list(self.receive(["faketime", "-f", at])), then)
        self.assertEqual(list(self.receive(["faketime", "-f", "+1h"])), [(401, None)] * len(then))


if __name__ == "__main__":
    unittest.main()
