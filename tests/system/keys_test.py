"""Keys and secrets in the whole: a Vault that goes away and comes back, and a search for secrets in everything that a
daemon leaves behind or shows, a core taken while it delivers among them."""
import base64
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
import unittest
import urllib.request

from cases import Whole
from kit import ROOT, Daemon, run_tool, until

TOKEN = "hvs.CANARY" + os.urandom(12).hex()


class Vault:
    """tests/support/fake_vault.py, over TLS."""

    def __init__(self, authority):
        self.authority = authority
        self.process = subprocess.Popen(
            [sys.executable, ROOT / "tests/support/fake_vault.py", "--cert", authority.cert, "--key", authority.key,
             "--token", TOKEN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().split()[1])
        self.service = f"vault:https://localhost:{self.port}/transit/postrider"

    def post(self, path, body=None):
        import ssl
        request = urllib.request.Request(f"https://localhost:{self.port}{path}", json.dumps(body or {}).encode(),
                                         {"X-Vault-Token": "root"})
        urllib.request.urlopen(request, context=ssl.create_default_context(cafile=self.authority.ca)).close()

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


class KeysDaemon(Daemon):
    """With a [keys] table of its own."""

    def __init__(self, *words, keys, **more):
        self.keys = keys
        super().__init__(*words, **more)

    def write_config(self):
        super().write_config()
        text = self.config.read_text()
        self.config.write_text(text.replace(f'[keys]\nservice = "file:{self.key}"\n', self.keys))


def memory_of(pid):
    """Its readable mappings: (flags as smaps has them, bytes)."""
    smaps = pathlib.Path(f"/proc/{pid}/smaps").read_text()
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for head, flags in re.findall(r"^([0-9a-f]+-[0-9a-f]+ .*)\n(?:(?![0-9a-f]+-).*\n)*?VmFlags: (.*)\n", smaps, re.M):
            span, access = head.split()[:2]
            if "w" not in access:
                continue
            begin, end = (int(at, 16) for at in span.split("-"))
            try:
                memory.seek(begin)
                yield set(flags.split()), memory.read(end - begin)
            except (OSError, ValueError, OverflowError):
                pass


class Keys(Whole):
    def vault(self):
        vault = Vault(self.authority)
        self.closing.append(vault.close)
        return vault

    def keys_daemon(self, keys, **more):
        daemon = KeysDaemon(self.place() / "one", self.authority, keys=keys, **more)
        self.closing.append(daemon.stop)
        return daemon

    def test_a_vault_that_is_away_delays_deliveries_charges_none_and_they_heal_by_themselves(self):
        vault = self.vault()
        credential = self.place() / "token"
        credential.write_text(TOKEN + "\n")
        credential.chmod(0o600)
        daemon = self.keys_daemon(f'[keys]\nservice = "{vault.service}"\ncredential = "file:{credential}"\n'
                                  f'ca_file = "{self.authority.ca}"\n').start()
        daemon.wait_token()
        receiver = self.receiver()
        daemon.apply({"main": (receiver.url, {})})
        daemon.publish("--file", daemon.publish_many(10, "before"))
        until(lambda: len(receiver.delivered()) == 10, 60, "what was published before")
        daemon.stop()
        # An embedded log's own key is had at start: a Vault that is sealed then refuses it, and says so.
        vault.post("/v1/sys/seal")
        daemon.start(ready=False)
        self.assertEqual(daemon.process.wait(30), 2)
        self.assertIn("KEY_SERVICE_UNAVAILABLE", daemon.errors.read_text())
        vault.post("/v1/sys/unseal")
        daemon.start()
        vault.post("/v1/sys/seal")  # before any tenant's key was asked for
        daemon.publish("--file", daemon.publish_many(10, "meanwhile"))
        time.sleep(3)
        self.assertEqual(len(receiver.delivered()), 10, "there is no unsigned mode")
        self.assertEqual(daemon.get("/healthz")[0], 200, "the shard waits for no network")
        vault.post("/v1/sys/unseal")
        until(lambda: len(receiver.delivered()) == 20, 90, "what was published meanwhile")
        self.assertTrue(all(arrival["verified"] and arrival["n"] == 1 for arrival in receiver.arrivals))
        shown = json.loads(daemon.ops("--json", "deliveries", "show", "meanwhile-3").out.splitlines()[-1])
        self.assertNotIn("KEY", json.dumps(shown))

    def test_a_token_wraps_the_keys_of_a_daemon_and_of_its_tools(self):
        module = pathlib.Path("/usr/lib/softhsm/libsofthsm2.so")
        if not module.exists():
            self.skipTest("SoftHSM is not installed (apt install softhsm2)")
        place = self.place()
        (place / "tokens").mkdir()
        (place / "softhsm.conf").write_text(f"directories.tokendir = {place}/tokens\nobjectstore.backend = file\n")
        # A fixed one: softhsm2-util spoils some (those with a zero byte at an end, and more), and the token then knows no
        # cipher for them.
        (place / "aes").write_bytes(bytes(range(33, 65)))
        (place / "pin").write_text("4711\n")
        (place / "pin").chmod(0o600)
        env = {"SOFTHSM2_CONF": str(place / "softhsm.conf")}
        for words in (["--init-token", "--free", "--label", "postrider", "--so-pin", "9999"],
                      ["--import", str(place / "aes"), "--aes", "--token", "postrider", "--label", "wrapping", "--id", "01"]):
            subprocess.run(["softhsm2-util", *words, "--pin", "4711"], check=True, capture_output=True,
                           env={**os.environ, **env})
        uri = f"pkcs11:token=postrider;object=wrapping?module-path={module}"
        daemon = self.keys_daemon(f'[keys]\nservice = "{uri}"\ncredential = "file:{place}/pin"\n').start(env=env)
        daemon.wait_token()
        receiver = self.receiver()
        daemon.apply({"main": (receiver.url, {})})
        daemon.publish("--file", daemon.publish_many(10, "one"))
        until(lambda: len(receiver.delivered()) == 10, 60, "what was published")
        daemon.stop()
        daemon.start(env=env)
        daemon.publish("--file", daemon.publish_many(10, "two"))
        until(lambda: len(receiver.delivered()) == 20, 60, "what was published after a restart")
        self.assertTrue(all(arrival["verified"] for arrival in receiver.arrivals))
        daemon.stop()
        rotated = run_tool("postrider-ops", "--log", daemon.log, "--environment", daemon.environment, "--json", "keys",
                           "rotate", "acme", "--config", daemon.config, env=env)
        self.assertEqual(rotated.code, 0, rotated)
        daemon.start(env=env)
        daemon.publish("--file", daemon.publish_many(10, "three"))
        until(lambda: len(receiver.delivered()) == 30, 60, "what was published after a rotation")

    def test_no_secret_stands_in_what_a_daemon_writes_or_shows_or_in_its_core(self):
        if not shutil.which("gcore"):
            self.skipTest("gcore is not installed (apt install gdb)")
        vault = self.vault()
        old_key = self.place() / "old.key"
        self.assertEqual(run_tool("postrider-ops", "keys", "new", old_key).code, 0)
        daemon = self.keys_daemon(
            f'[keys]\nservice = "{vault.service}"\ncredential = "env:POSTRIDER_VAULT_TOKEN"\nca_file = "{self.authority.ca}"\n'
            f'[keys.former.old]\nservice = "file:{old_key}"\n')
        daemon.start(env={"POSTRIDER_VAULT_TOKEN": TOKEN})
        daemon.wait_token()
        raw = os.urandom(32)
        secret = "whsec_" + base64.b64encode(raw).decode()
        payload = "CANARY-payload-" + os.urandom(12).hex()
        slow = self.receiver(lambda n, webhook_id: (time.sleep(8), 200)[1])
        file = self.place() / "endpoints.toml"
        file.write_text(f'environment = "development"\n[[endpoint]]\ntenant = "acme"\nid = "main"\nurl = "{slow.url}'
                        f'?key=CANARY-query-{raw.hex()}"\nsecrets = ["env:CANARY_SECRET"]\n')
        done = run_tool("postrider-ops", "--api", daemon.api, "--token-file", daemon.token_file, "endpoints", "apply", file,
                        env={"CANARY_SECRET": secret})
        self.assertEqual(done.code, 0, done)
        daemon.publish("--file", daemon.publish_many(20, "slow", data={"canary": payload}))
        until(lambda: slow.count() >= 4, 30, "deliveries under way")

        pid = daemon.process.pid
        key_text = old_key.read_text().split()[1]
        canaries = {"the endpoint's secret": raw, "its text": secret[6:].encode(), "Vault's token": TOKEN.encode(),
                    "the key file's bytes": base64.b64decode(key_text), "its text ": key_text.encode(),
                    "the administrator's token": daemon.token_file.read_text().strip().encode(),
                    "the URL's query": b"CANARY-query", "a payload": payload.encode()}

        # The search finds what is there: Vault's token is in use. It lies in locked memory, and nothing where a core
        # would hold it.
        memory = list(memory_of(pid))
        for name, canary in canaries.items():
            for flags in (flags for flags, bytes_ in memory if canary in bytes_):
                self.assertIn("dd", flags, f"{name} lies in a mapping that a core would hold")
        self.assertTrue(any("lo" in flags and TOKEN.encode() in bytes_ for flags, bytes_ in memory),
                        "no copy of the token lies in locked memory")

        core = self.place() / "core"
        taken = subprocess.run(["gcore", "-o", core, str(pid)], capture_output=True, text=True)
        self.assertEqual(taken.returncode, 0, taken.stderr)
        image = pathlib.Path(f"{core}.{pid}").read_bytes()
        self.assertTrue(b"postriderd" in image)
        shown = {"the core": image,
                 "environ": pathlib.Path(f"/proc/{pid}/environ").read_bytes(),
                 "cmdline": pathlib.Path(f"/proc/{pid}/cmdline").read_bytes(),
                 "metrics": daemon.get("/metrics")[1].encode(), "stderr": daemon.errors.read_bytes()}
        for path in [*daemon.data.rglob("*"), *(daemon.directory / "log").rglob("*")]:
            if path.is_file() and path != daemon.token_file:
                shown[str(path)] = path.read_bytes()
        self.assertGreater(len(shown), 8)
        for place, bytes_ in shown.items():
            for name, canary in canaries.items():
                # Stacks are in a core, so that it tells where it happened: they hold pieces of what is sent.
                if (place, name) != ("the core", "a payload"):
                    self.assertFalse(canary in bytes_, f"{name} stands in {place}")


if __name__ == "__main__":
    unittest.main()
