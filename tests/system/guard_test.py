"""No URL that a customer can invent makes the daemon talk to anything inside: in a network namespace where the metadata
address, private ranges and all the others really answer. Needs root, or user namespaces; without, it is not run, and
says so."""
import pathlib
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).parent


def namespaces():
    """The command that makes them; None: they may not be made here."""
    for command in (["unshare", "-n", "-m"], ["unshare", "-r", "-n", "-m"]):
        probe = "mount -t tmpfs none /mnt && ip link add probe0 type veth peer name probe1 && unshare -n true"
        try:
            if subprocess.run([*command, "sh", "-c", probe], capture_output=True, timeout=20).returncode == 0:
                return command
        except OSError:
            return None
    return None


class Guard(unittest.TestCase):
    def test_no_byte_reaches_anything_inside(self):
        command = namespaces()
        if command is None:
            self.skipTest("network namespaces may not be made here (root, or user namespaces)")
        done = subprocess.run([*command, sys.executable, "-m", "unittest", "-v", "guard_inside"], cwd=HERE, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
        print(done.stdout, end="", flush=True)
        self.assertEqual(done.returncode, 0)
        self.assertIn("Ran ", done.stdout)
        self.assertNotIn("skipped", done.stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
