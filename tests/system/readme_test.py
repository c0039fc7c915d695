"""README.md is right: its snippets, as they stand there, in the order in which they stand."""
import os
import re
import shutil
import signal
import subprocess
import unittest

import kit

README = kit.ROOT / "README.md"


def snippets(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README.read_text(), re.M | re.S)


def newcomer(directory):
    """The variables of somebody who stands in `directory` as if it were the repository, with the programs built."""
    (directory / "build").mkdir()
    (directory / "build/release").symlink_to(kit.BUILD.resolve())
    return {name: value for name, value in os.environ.items()
            if name not in ("POSTRIDER_API", "POSTRIDER_TOKEN", "WEBHOOK_SECRET")}


class ReadmeTest(unittest.TestCase):
    def test_a_daemon_that_refuses_to_start_ends_the_wait_with_its_reason(self):
        directory = kit.scratch()
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        (directory / "postrider.toml").write_text('environment = "no name of one"\n')
        start = snippets("bash")[0].replace("/var/lib/postrider", str(directory / "lib"))
        done = subprocess.run(["bash", "-c", start], cwd=directory, env=newcomer(directory), timeout=60,
                              capture_output=True, text=True)
        self.assertIn("environment is no name of an environment", done.stdout)

    def test_a_newcomer_publishes_receives_and_replays(self):
        directory = kit.scratch()
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        # Only what must differ on a shared machine: places and ports.
        places = {"/var/lib/postrider": str(directory / "lib"), "8080": str(kit.free_port()),
                  "9000": str(kit.free_port()), "9001": str(kit.free_port())}

        def here(text):
            return re.sub("|".join(places), lambda found: places[found[0]], text)

        toml, = snippets("toml")
        port = places["8080"]
        (directory / "postrider.toml").write_text(f'listen = "127.0.0.1:{port}"\n' + here(toml))
        blocks = snippets("bash")
        self.assertEqual(4, len(blocks))
        script = "set -eu\nset -o pipefail\n" + "\n".join(map(here, blocks)) + "\necho the snippets are done\nwait\n"
        environment = newcomer(directory)
        with open(directory / "out", "w") as out:
            shell = subprocess.Popen(["bash", "-c", script], cwd=directory, env=environment, stdout=out, stderr=out,
                                     start_new_session=True)
        self.addCleanup(shell.wait, 30)
        self.addCleanup(os.killpg, shell.pid, signal.SIGTERM)
        text = (directory / "out").read_text
        kit.until(lambda: "the snippets are done" in text() or shell.poll() is not None, 90, "the snippets' end")
        self.assertIsNone(shell.poll(), text())
        # Two events to the first customer; to the second a refusal, and its replay.
        kit.until(lambda: len(re.findall(r"verified.* 200", text())) == 3, 30, "three arrivals")
        self.assertEqual(1, len(re.findall(r"verified.* 400", text())), text())
        self.assertIn("client_error", text())


if __name__ == "__main__":
    unittest.main()
