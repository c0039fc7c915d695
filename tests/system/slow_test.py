"""Thousands of slow clients, by slowhttptest's judgement of what is slow, against the API over TLS: whoever is not slow is
served meanwhile."""
import subprocess
import time
import unittest

from cases import Whole
from kit import until

# Heads that never end, bodies that never come, answers that are never read.
ATTACKS = {"headers": ["-H", "-i", "2"], "body": ["-B", "-i", "2", "-s", "65536"], "read": ["-X", "-w", "1", "-y", "8", "-n", "3"]}
CONNECTIONS, SECONDS = 700, 12


class Slow(Whole):
    def test_slow_clients_of_every_kind_starve_nobody(self):
        daemon = self.daemon(tls=True, extra="---\n[api]\nconnections = 512\nrequest_timeout = \"5s\"\n").start()
        daemon.wait_token()
        token = {"Authorization": f"Bearer {daemon.token_file.read_text().strip()}"}
        # It knows no header of ours: the token goes in behind one that it lets us choose.
        smuggled = "*/*\r\nAuthorization: " + token["Authorization"]
        attackers = [subprocess.Popen(
            ["slowhttptest", "-c", str(CONNECTIONS), "-r", "200", "-l", str(SECONDS), "-p", "3", *words, "-t", method,
             "-m", smuggled, "-u", daemon.api + path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for words, method, path in ((ATTACKS["headers"], "GET", "/v1/endpoints"), (ATTACKS["body"], "POST", "/v1/replays"),
                                        (ATTACKS["read"], "GET", "/metrics"))]
        self.closing += [lambda one=one: (one.kill(), one.wait()) for one in attackers]
        slowest, served = 0, 0
        while any(one.poll() is None for one in attackers):
            begin = time.monotonic()
            connection = daemon.connection(timeout=20)
            connection.request("GET", "/v1/endpoints", headers=token)
            self.assertEqual(connection.getresponse().status, 200)
            connection.close()
            slowest, served = max(slowest, time.monotonic() - begin), served + 1
        self.assertGreater(served, 20)
        self.assertLess(slowest, 3, f"of {served}")
        # And afterwards nothing is left of them.
        self.assertTrue(until(daemon.is_ready, 10))
        self.assertEqual(daemon.stop(), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
