"""What schemas/openapi.yaml says holds: schemathesis asks a real daemon (tests/api/contract), here with few cases."""
import pathlib
import subprocess
import sys
import unittest

CONTRACT = pathlib.Path(__file__).resolve().parents[1] / "api/contract"


class Contract(unittest.TestCase):
    def test_five_hundred_requests_get_only_what_the_document_knows(self):
        done = subprocess.run([sys.executable, CONTRACT, "--cases", "500"], capture_output=True, text=True, timeout=600)
        self.assertEqual(done.returncode, 0, (done.stdout + done.stderr)[-20_000:])
        print(done.stdout.strip())


if __name__ == "__main__":
    unittest.main()
