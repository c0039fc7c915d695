#!/usr/bin/env python3
"""ops/secret-scan in a repository of its own: it finds each format in the tree, and in the history what the tree has no
more; what is listed it lets pass."""
import base64
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Put together here, so that this file holds none.
BODY = base64.b64encode(bytes(range(32))).decode()
LONG = "Ab1" * 14
SECRETS = {
    "signing secret": "whsec_" + BODY,
    "API token": "ptk_" + LONG,
    "private key": "-----BEGIN " + "PRIVATE KEY-----\\n" + BODY + "\\n" + BODY,
    "Vault token": "hvs." + LONG,
    "AWS key": "AKIA" + "ABCDEFGH12345678",
    "GitHub token": "ghp_" + LONG,
    "Slack token": "xoxb-" + LONG,
    "JWT": "eyJ" + LONG + ".eyJ" + LONG + "." + LONG,
    "password in a URL": "https://" + "ann:hunter22" + "@example.com/",
    "bearer token": "Authorization: Bearer " + LONG,
}


class SecretScan(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = pathlib.Path(self.folder.name)
        (self.root / "ops").mkdir()
        shutil.copy(ROOT / "ops/secret-scan", self.root / "ops")
        self.git("init", "-q")
        self.commit("begin")

    def tearDown(self):
        self.folder.cleanup()

    def git(self, *arguments):
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@example.com", *arguments], cwd=self.root, check=True)

    def commit(self, message):
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)

    def scan(self, *options):
        done = subprocess.run([self.root / "ops/secret-scan", *options], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def test_each_format_is_found_and_never_shown_whole(self):
        self.assertEqual(self.scan()[0], 0)
        for name, secret in SECRETS.items():
            (self.root / "notes.md").write_text(f"one\nx {secret} y\n")
            status, told = self.scan("--tree")
            self.assertEqual(status, 1, name)
            self.assertIn(f": {name} ", told)
            self.assertNotIn(secret, told)

    def test_what_was_taken_out_is_found_in_the_history(self):
        (self.root / "notes.md").write_text(SECRETS["API token"])
        self.commit("oh")
        (self.root / "notes.md").write_text("nothing")
        self.commit("taken out")
        self.assertEqual(self.scan("--tree")[0], 0)
        status, told = self.scan()
        self.assertEqual(status, 1)
        self.assertIn("notes.md", told)

    def test_a_message_is_looked_at_too(self):
        self.git("commit", "-q", "--allow-empty", "-m", SECRETS["Vault token"])
        self.assertEqual(self.scan()[0], 1)

    def test_what_is_listed_may_stand(self):
        (self.root / "notes.md").write_text(SECRETS["signing secret"])
        digest = self.scan("--tree", "--digest")[1].split()[0]
        (self.root / "ops/secret-scan.allow").write_text(digest + "  a test's\n")
        self.assertEqual(self.scan()[0], 0)


if __name__ == "__main__":
    sys.exit(unittest.main())
