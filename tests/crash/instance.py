"""A daemon that lives many times. Each life has an address, so that arrivals tell who sent them; its clock, its disk
and its name server are its own."""
import datetime
import http.client
import json
import os
import pathlib
import shutil
import subprocess
import time

from isolation import mount, unmount
from kit import Daemon, until
from names import NameServer

FAKETIME = pathlib.Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
DISK = 256 << 20
READY = 180  # seconds; for a hung run


class Life:
    def __init__(self, address, began):
        self.address, self.began, self.ended, self.how = address, began, None, None


class Instance(Daemon):
    def __init__(self, world, number, log=None):
        self.world, self.number = world, number
        self.name = f"daemon-{number}"
        self.names = NameServer(world.reactor, number) if world.isolated else None
        self.lives, self.kills = [], 0
        self.clock = world.directory / f"clock-{number}"
        self.clock.write_text("+0\n")
        self.token_text = None
        self.wanted = True  # to be alive; a guest that left is not
        self.disks = []
        shards = f"shards = {1 + (world.seed + number) % 2}\n"
        super().__init__(world.directory / self.name, world.authority, log=log, environment=world.environment,
                         extra=shards + '[drain]\ntimeout = "10s"\n' +
                         ('[kafka]\n"session.timeout.ms" = "6000"\n' if log else ""))
        self.config.write_text(self.config.read_text().replace("[delivery]\n", '[delivery]\ntimeout = "3s"\n'))
        if world.isolated:
            self.resolver = self.directory / "resolv.conf"
            self.resolver.write_text(f"nameserver {self.names.at}\n")

    # --- its machine

    def give_disk(self, path):
        """A small disk of its own that can be filled."""
        path.mkdir(mode=0o700, exist_ok=True)
        mount("crash", path, "tmpfs", f"size={DISK},mode=0700")
        self.disks.append(path)

    def fill(self, path):
        with open(path / "ballast", "wb", buffering=0) as file:
            for piece in (1 << 20, 4096):
                try:
                    while True:
                        file.write(bytes(piece))
                except OSError:
                    continue

    def empty(self, path):
        (path / "ballast").unlink(missing_ok=True)

    def set_clock(self, seconds):
        self.clock.write_text(f"{seconds:+d}\n")

    def command(self):
        words = ["setpriv", "--pdeathsig", "KILL"]
        if self.world.isolated:
            script = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
            words += ["unshare", "--mount", "sh", "-c", script, str(self.resolver)]
        if self.world.can("clock"):
            words += ["env", f"LD_PRELOAD={FAKETIME}"]
        return [*words, *super().command()]

    def environ(self):
        return {**os.environ, "FAKETIME_TIMESTAMP_FILE": str(self.clock), "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "FAKETIME_CACHE_DURATION": "1", "FAKETIME_NO_CACHE": "0"}

    # --- its lives

    def start(self, ready=True):
        if self.world.broker:
            # librdkafka 2.0.2 waits by C11's cnd_timedwait, which libfaketime does not know: with a clock that is wrong
            # from the start it never gets its threads going.
            self.set_clock(0)
        address = None
        if self.names:
            self.names.life += 1
            address = self.names.address
        self.lives.append(Life(address, time.monotonic()))
        super().start(ready=False)
        if ready:
            self.wait_ready()
        return self

    def wait_ready(self):
        until(self.is_ready, READY, f"readiness of {self.name}")

    @property
    def alive(self):
        return self.process is not None and self.process.poll() is None

    def end(self, how):
        self.lives[-1].ended, self.lives[-1].how = time.monotonic(), how

    def kill(self):
        if not self.alive:
            raise AssertionError(f"{self.name} ended by itself: {self.errors.read_text()[-2000:]}")
        super().kill()
        self.kills += 1
        self.end("SIGKILL")

    def leave(self):
        """SIGTERM: it must drain and end well, in bound."""
        code = self.stop()
        self.end("SIGTERM")
        if code != 0:
            raise AssertionError(f"{self.name} ended with {code} on SIGTERM")

    def signal(self, number):
        self.process.send_signal(number)

    def wipe_view(self):
        for view in self.data.glob("view*"):
            shutil.rmtree(view, ignore_errors=True)

    def close(self, keep=False):
        """`keep`: what lies on its disks is kept as evidence."""
        if self.alive:
            self.process.kill()
            self.process.wait()
        for path in self.disks:
            self.empty(path)
            if keep:
                shutil.copytree(path, path.with_suffix(".kept"), dirs_exist_ok=True)
            unmount(path)

    # --- its API

    def token(self):
        if self.token_text is None:
            self.token_text = self.token_file.read_text().strip()
        return self.token_text

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, None if body is None else json.dumps(body),
                               {"authorization": f"Bearer {self.token()}", "content-type": "application/json"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        finally:
            connection.close()

    def complaints(self):
        if not self.alive:
            return "it is not alive"
        try:
            return self.get("/readyz")[1]
        except OSError as error:
            return f"it does not answer: {error}"

    # --- its log

    def last_words(self):
        return "\n".join(line[:400] for line in self.errors.read_text(errors="replace").splitlines()[-2:])

    def last_error(self):
        """The code of its last words, if it refused to start."""
        for line in reversed(self.errors.read_text(errors="replace").splitlines()[-4:]):
            if line.startswith('{"code"'):
                return json.loads(line)["code"]
        return None

    def said_since(self, log_bytes, operation):
        """When, on the wall clock, it first said that after so many bytes of its log. None: never."""
        for line in self.errors.read_bytes()[log_bytes:].decode().splitlines():
            if f'"operation":"{operation}"' in line and line.startswith("{"):
                return datetime.datetime.fromisoformat(json.loads(line)["timestamp"]).timestamp()
        return None
