"""Run by guard_test.py in a network and mount namespace of its own: the daemon here, and around it, behind one wire, a
network that answers for every address (guard_net.py). What is not a customer's receiver must not get a byte."""
import collections
import json
import pathlib
import socket
import subprocess
import sys
import threading
import time
import unittest

import guard_forms
import guard_net
from kit import SECRET, Authority, Daemon, metric, run_tool, scratch, until

HERE = pathlib.Path(__file__).parent
PUBLIC = guard_forms.PUBLIC


def run(*words):
    subprocess.run(list(map(str, words)), check=True, capture_output=True)


class Net:
    """guard_net.py in its own namespace, and the wire to it."""

    def __init__(self, authority, directory):
        self.process = subprocess.Popen(["unshare", "-n", sys.executable, HERE / "guard_net.py", authority.cert, authority.key],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        here = pathlib.Path("/proc/self/ns/net").readlink()
        until(lambda: pathlib.Path(f"/proc/{self.process.pid}/ns/net").readlink() != here, 10, "a namespace")
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "daemon0", "type", "veth", "peer", "name", "net0", "netns", self.process.pid)
        run("ip", "addr", "add", guard_forms.OWN[0] + "/24", "dev", "daemon0")
        run("ip", "-6", "addr", "add", guard_forms.OWN[1] + "/64", "dev", "daemon0", "nodad")
        run("ip", "link", "set", "daemon0", "up")
        run("ip", "route", "add", "default", "via", "93.184.216.1")
        self.process.stdout.readline()
        run("ip", "-6", "route", "add", "default", "via", "2606:4700:aaaa::1")
        resolv = directory / "resolv.conf"
        resolv.write_text("nameserver 93.184.217.53\n")
        run("mount", "--bind", resolv, pathlib.Path("/etc/resolv.conf").resolve())

    def ask(self, **question):
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


def reach(address, port=443):
    """A client without a guard."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(1)
        try:
            client.connect((address, port))
            client.sendall(b"control")
            return True
        except OSError:
            return False


class Inside(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = scratch()
        cls.authority = Authority(cls.directory, ["*.out.test"])
        cls.net = Net(cls.authority, cls.directory)
        cls.own = collections.Counter()
        for port in guard_net.PORTS:  # of this machine: loopback and its own addresses
            guard_net.listen(port, guard_net.drain)
        cls.daemon = Daemon(cls.directory / "one", cls.authority, environment="production", tls=True)
        assert run_tool("postrider-ops", "keys", "new", cls.daemon.key).code == 0
        cls.addresses = guard_forms.answers()
        # An operator allowed everything once, and customers made use of it.
        cls.configure('allow = ["0.0.0.0/0", "::/0"]')
        cls.daemon.start().wait_token()
        cls.literals = [each for number, each in enumerate(cls.addresses)
                        if cls.put(f"literal-{number}", f"[{each}]" if ":" in each else each, "literal")[0] == 201]
        cls.daemon.stop()
        cls.configure("")
        proxy = "http://10.0.0.1:3128"
        cls.daemon.start(env={name: proxy for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")})

    @classmethod
    def tearDownClass(cls):
        cls.daemon.stop()
        cls.net.close()

    @classmethod
    def configure(cls, guard):
        cls.daemon.guard = guard
        cls.daemon.write_config()

    @classmethod
    def put(cls, name, host, type_, retry=("1h",), wait=False):
        connection = cls.daemon.connection(timeout=20)
        body = {"url": f"https://{host}/hook", "types": [type_], "retry": list(retry), "secrets": [SECRET]}
        connection.request("PUT", f"/v1/tenants/acme/endpoints/{name}?wait={'true' if wait else 'false'}", json.dumps(body),
                           {"Authorization": f"Bearer {cls.daemon.token_file.read_text().strip()}"})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, json.loads(text)

    def setUp(self):
        self.forget()

    def forget(self):
        self.net.ask(forget=True)
        with guard_net.lock:
            guard_net.breaches.clear()

    def breaches(self):
        with guard_net.lock:
            return {**self.net.ask()["breaches"], **guard_net.breaches}

    def tearDown(self):
        if self._testMethodName != "test_inside_really_answers":
            self.assertEqual(self.breaches(), {}, "bytes arrived inside")

    def publish(self, type_, count=1):
        file = self.daemon.directory / "events.jsonl"
        file.write_text("".join(json.dumps({"specversion": "1.0", "id": f"{type_}-{time.time_ns()}-{i}", "source": "/x",
                                            "type": type_, "tenant": "acme", "data": {}}) + "\n" for i in range(count)))
        self.daemon.publish("--file", file)

    def letters(self, prefix):
        done = self.daemon.ops("--json", "dead-letters", "list", "--limit", "1000")
        self.assertEqual(done.code, 0, done)
        return [one for one in map(json.loads, done.out.splitlines()) if one["endpoint"].startswith(prefix)]

    def denied(self, prefix, count):
        def enough():
            now = self.letters(prefix)
            return now if len(now) >= count else None
        found = until(enough, 30, f"{count} letters of {prefix}")
        self.assertEqual({one["reason"] for one in found}, {"target_denied"})
        self.assertEqual(len(found), count)
        return found

    def test_inside_really_answers(self):
        """A test whose inside does not answer would prove nothing."""
        reached = [each for each in self.addresses if reach(each)]
        until(lambda: sum(self.breaches().values()) == 8 * len(reached), 10, "what was sent")  # and a byte for the connection
        for each in ("127.0.0.1", "0.0.0.0", "169.254.169.254", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "::1",
                     "fd00:ec2::254", "64:ff9b::a9fe:a9fe", "2002:7f00:1::1", "::ffff:169.254.169.254", *guard_forms.OWN):
            self.assertIn(guard_forms.canonical(each), reached)
        print(f"{len(reached)} of {len(self.addresses)} addresses inside answer")

    def test_registration(self):
        self.net.ask(names={"metadata.inside.test": ["169.254.169.254"], "mixed.inside.test": [PUBLIC, "10.0.0.1"],
                            "six.inside.test": ["2606:4700:bbbb::1", "fd00:ec2::254"], "alias.inside.test": ["127.0.0.1"],
                            "public.out.test": [PUBLIC], "ip6-localhost": ["::1"]})
        hosts = guard_forms.hosts()
        self.assertGreaterEqual(len(hosts), 300)
        codes = collections.Counter()
        for number, host in enumerate(hosts):
            status, answer = self.put(f"form-{number}", host, "form")
            self.assertEqual(status, 400, f"{host}: {answer}")
            self.assertTrue(answer["suggestion"], host)
            codes[answer["code"]] += 1
        self.assertEqual(set(codes), {"INVALID_ENDPOINT_URL", "TARGET_DENIED"})
        self.assertEqual(self.put("form-port", "public.out.test:22", "form")[1]["code"], "TARGET_DENIED")
        print(f"{len(hosts)} forms refused when declared: {dict(codes)}")

    def test_sending_what_was_declared_while_it_was_allowed(self):
        self.assertGreaterEqual(len(self.literals), 100)
        self.publish("literal")
        self.denied("literal-", len(self.literals))
        print(f"{len(self.literals)} literal addresses refused when sent to")

    def test_rebinding_then_retry_then_replay(self):
        rebound = {f"rebound-{n}": [each] for n, each in enumerate(self.addresses)}
        mixed = {f"mixed-{n}": [each, PUBLIC] for n, each in enumerate(self.addresses[::4])}
        retried = {f"retried-{n}": [each] for n, each in enumerate(self.addresses[::3])}
        everyone = {**rebound, **mixed, **retried}
        self.net.ask(names={f"{name}.out.test": [PUBLIC] for name in everyone},
                     answers={f"{name}.out.test": 503 for name in retried})
        last = list(everyone)[-1]
        for name in everyone:
            kind = "retried" if name in retried else "rebound"
            status, answer = self.put(name, f"{name}.out.test", kind, ("12s",), wait=name == last)
            self.assertEqual(status, 201, answer)
        asked = lambda names: sum(self.net.ask()["requests"].get(f"{name}.out.test", 0) for name in names)
        lead = lambda names: self.net.ask(names={f"{name}.out.test": everyone[name] for name in names})
        self.publish("retried")
        until(lambda: asked(retried) == len(retried), 30, "a first attempt")
        lead(retried)
        self.publish("rebound")
        until(lambda: asked([*rebound, *mixed]) == len(rebound) + len(mixed), 30, "delivery")
        # Connections stand open, addresses are known: now every name leads inside.
        lead([*rebound, *mixed])
        time.sleep(5.5)  # an answer is believed for five seconds at least
        self.publish("rebound")
        self.denied("rebound-", len(rebound))
        until(lambda: asked(mixed) == 2 * len(mixed), 30, "delivery at the public one of two")
        self.denied("retried-", len(retried))
        self.assertEqual(asked(retried), len(retried), "a retry went out after the rebind")
        for prefix in ("rebound-", "retried-"):
            for one in self.letters(prefix)[:3]:
                self.assertEqual(self.daemon.ops("replay", one["delivery_id"]).code, 0)
        done = self.daemon.ops("replay", "--tenant", "acme", "--reason", "target_denied")
        self.assertEqual(done.code, 0, done)
        until(lambda: len(self.letters("rebound-")) >= 2 * len(rebound), 30, "the replays' own letters")
        self.assertEqual(asked(rebound), len(rebound))
        print(f"{len(rebound)} names rebound, {len(mixed)} to one of each, {len(retried)} before a retry; all replayed")

    def test_redirects(self):
        hosts, endpoints = guard_forms.hosts(), 70
        rounds = -(-len(hosts) // endpoints)
        self.net.ask(locations=hosts, names={f"redirect-{n}.out.test": [PUBLIC] for n in range(endpoints)})
        for number in range(endpoints):
            status, answer = self.put(f"redirect-{number}", f"redirect-{number}.out.test", "redirect", wait=number == endpoints - 1)
            self.assertEqual(status, 201, answer)
        self.publish("redirect", rounds)
        until(lambda: self.net.ask()["locations"] == 0, 30, "all redirects")
        failures = lambda: metric(self.daemon.get("/metrics")[1].replace('{cause="http_3xx"}', "_3xx"),
                                  "postrider_attempt_failures_total_3xx")
        until(lambda: failures() == len(hosts), 30, "a retry for each")
        print(f"{len(hosts)} redirects not followed")


if __name__ == "__main__":
    unittest.main(verbosity=2)
