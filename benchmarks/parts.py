"""What is measured, and at what: the engine, the bare loop and the relay; sinks and nginx; and the kernel's figures
of their processes."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/system"))
import kit  # noqa: E402

BENCH = kit.BUILD / "benchmarks"
TICK = os.sysconf("SC_CLK_TCK")
TOPIC = "development.postrider."


def cpu_seconds(pid):
    """Of all threads, user and system."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def resident_mib(pid):
    """Now, and the most since the last forget_peak()."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return {key: int(status.split(name)[1].split()[0]) / 1024 for key, name in (("now", "VmRSS:"), ("peak", "VmHWM:"))}


def forget_peak(pid):
    pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")


def spent(before, after):
    """CPU in between; a tick at least, so that nothing is divided by nothing."""
    return max(after - before, 1 / TICK)


def host(number):
    """A loopback address of its own for each number, as register.cc counts them."""
    return f"127.{1 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


def urls_of(port, count, first=0):
    return [f"http://{host(first + i)}:{port}/hook" for i in range(count)]


class Sink:
    """The receivers of all that is measured: one process (sink.cc). `words` go to it."""

    def __init__(self, *words, authority=None, ports=1):
        tls = ["--tls", authority.cert, authority.key] if authority else []
        command = [BENCH / "bench_sink", "--ports", str(ports), *map(str, words), *tls]
        self.process = subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = self.process.pid
        self.listens = json.loads(self.process.stdout.readline())
        self.port = self.listens["ports"][0]
        scheme, name = ("https", "localhost") if authority else ("http", "127.0.0.1")
        self.urls = [f"{scheme}://{name}:{port}/hook" for port in self.listens["ports"]]

    def report(self):
        """What arrived since the last report."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


class Nginx:
    """Debian's nginx with one worker that returns 204: its CPU in the same run is the unit of R."""

    def __init__(self, directory, hosts=64):
        directory.mkdir()
        self.port = kit.free_port()
        self.urls = urls_of(self.port, hosts)
        (directory / "nginx.conf").write_text(self.configuration(directory))
        program = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
        assert program, "nginx is not installed: ops/install-dependencies --tests"
        words = [program, "-p", directory, "-c", directory / "nginx.conf", "-e", directory / "error.log"]
        self.process = subprocess.Popen([*words, "-g", "daemon off;"])
        kit.until(self.worker, 10, "nginx's worker")
        self.pid = self.worker()
        kit.until(self.answers, 10, "nginx")
        self.seen = self.requests()

    def configuration(self, directory):
        listens = "".join(f"listen {url.split('/')[2]};" for url in self.urls)
        places = "".join(f"{kind}_temp_path {directory}/{kind};"
                         for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        return f"""worker_processes 1;
pid {directory}/pid;
events {{ worker_connections 8192; }}
http {{
  access_log off; {places}
  keepalive_timeout 1h; keepalive_requests 1000000000;
  server {{ {listens} location / {{ return 204; }} }}
  server {{ listen 127.0.0.1:{self.port}; location / {{ stub_status; }} }}
}}
"""

    def worker(self):
        pid = self.process.pid
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(children[0]) if children else None

    def answers(self):
        with contextlib.suppress(OSError):
            return self.requests()
        return None

    def requests(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=10) as answer:
            return int(answer.read().decode().splitlines()[2].split()[2])

    def report(self):
        before, self.seen = self.seen, self.requests()
        return {"requests": self.seen - before - 1}  # less the question itself

    def close(self):
        self.process.terminate()
        self.process.wait(10)


def bare_loop(receiver, deliveries, urls=None, ca=None, concurrency=2, more=()):
    """Its deliveries, seconds and CPU, and the receiver's CPU meanwhile."""
    warm_up = deliveries // 20
    words = [BENCH / "bench_bare_loop", "--count", str(deliveries), "--warm-up", str(warm_up), "--concurrency",
             str(concurrency), *map(str, more), *(["--ca", ca] if ca else [])]
    receiver.report()
    with subprocess.Popen([*words, *(urls or receiver.urls)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as loop:
        assert json.loads(loop.stdout.readline())["warm"] == warm_up
        receiver_cpu = cpu_seconds(receiver.pid)
        loop.stdin.write("\n")
        loop.stdin.flush()
        measured = json.loads(loop.stdout.readline())
    measured["receiver_cpu"] = spent(receiver_cpu, cpu_seconds(receiver.pid))
    measured["cpu_seconds"] = max(measured["cpu_seconds"], 0.001)
    arrived = receiver.report()["requests"]
    assert measured["deliveries"] == deliveries == arrived - warm_up, (measured, arrived)
    return measured


@contextlib.contextmanager
def relay(broker, sink):
    """The barest way from Kafka to the sink, while it runs."""
    words = [BENCH / "bench_relay", broker.address, TOPIC + "events", *sink.urls]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        yield process
        process.stdin.close()
        assert json.loads(process.stdout.readline())["failed"] == 0


def broker_pid(broker):
    return int((broker.directory / "node-1/pid").read_text())


class Engine:
    """postriderd on the log of `broker`, or on an embedded one. `extra`: as kit.Daemon's."""

    def __init__(self, directory, authority, broker=None, extra=""):
        self.broker = broker
        self.kind = "Kafka" if broker else "embedded"
        log = f"kafka://{broker.address}" if broker else None
        if broker:
            done = kit.run_tool("postrider-ops", "--log", log, "--environment", "development", "topics", "create")
            assert done.code == 0, done
        self.daemon = kit.Daemon(directory, authority, log, extra=extra)
        self.daemon.start()
        self.daemon.wait_token()

    @property
    def pid(self):
        return self.daemon.process.pid

    def declare(self, *sets, **settings):
        """Each set (prefix, urls, fan-out) makes endpoints <prefix>e0, … of tenants <prefix>t0, …, `fan-out` a
        tenant, through the API."""
        values = lambda prefix, tenant: {"tenant": f'"{prefix}t{tenant}"', "types": '["*"]', **settings}
        known = self.metric("endpoints")
        endpoints = {f"{prefix}e{i}": (url, values(prefix, i // fan_out))
                     for prefix, urls, fan_out in sets for i, url in enumerate(urls)}
        # One daemon sees what it has read itself; the usual wait is for others.
        self.daemon.apply(endpoints, "--no-wait")
        kit.until(lambda: self.metric("endpoints") >= known + len(endpoints), 60, "the registry")

    def register(self, *sets, retry=("standard",)):
        """The same by the thousand, straight on the log (register.cc), each endpoint on an address of its own: sets of
        (prefix, count, port, fan-out)."""
        daemon, known = self.daemon, self.metric("endpoints")
        if not self.broker:
            daemon.stop()
        for prefix, count, port, fan_out in sets:
            words = [BENCH / "bench_register", "--log", daemon.log, "--environment", daemon.environment, "--keys",
                     f"file:{daemon.key}", "--prefix", prefix, "--count", count, "--per-tenant", fan_out, "--port",
                     port, "--retry", *retry]
            subprocess.run(list(map(str, words)), check=True, stdout=subprocess.DEVNULL)
            known += count
        if not self.broker:
            daemon.start(ready=False)
            kit.until(daemon.is_ready, 600, "readiness")
        kit.until(lambda: self.metric("endpoints") >= known, 600, "the registry")

    def operate(self, *verb):
        done = self.daemon.ops(*verb, "--no-wait")
        assert done.code == 0, done

    def load(self, events, prefix, tenants, rate=0, size=1024):
        """Starts publishing; wait() for it."""
        to = self.daemon.log if self.broker else self.daemon.api
        words = [BENCH / "bench_load", "--to", to, "--environment", "development", "--count", events, "--tenants",
                 tenants, "--prefix", f"{prefix}t", "--rate", rate, "--bytes", size, "--token-file",
                 self.daemon.token_file]
        return subprocess.Popen(list(map(str, words)), stdout=subprocess.DEVNULL)

    def publish(self, *words, **more):
        assert self.load(*words, **more).wait() == 0

    def metrics(self):
        return self.daemon.get("/metrics")[1]

    def metric(self, name):
        return kit.metric(self.metrics(), "postrider_" + name)

    @staticmethod
    def delivered(text):
        return int(sum(map(float, re.findall(r'^postrider_deliveries_total\{[^}]*state="delivered"[^}]*\} (\S+)$', text,
                                             re.M))))

    def at_rest(self, wanted=0):
        text = self.metrics()
        left = sum(kit.metric(text, "postrider_" + name) for name in (
            "lag_events", "unsettled_events", "queued_deliveries", "in_flight_attempts", "unacknowledged_facts"))
        return left == 0 and self.delivered(text) >= wanted

    def measure(self, receiver, deliveries, prefix, tenants, fan_out=1, rate=0):
        """Publishes, waits until all has come to rest, and says what it took."""
        before = self.delivered(self.metrics())
        receiver.report()
        facts = self.attempt_facts()
        cpus = [self.pid, receiver.pid] + ([broker_pid(self.broker)] if self.broker else [])
        cpu, begin = list(map(cpu_seconds, cpus)), time.monotonic()
        self.publish(deliveries // fan_out, prefix, tenants, rate=rate)
        while not self.at_rest(before + deliveries):
            assert time.monotonic() - begin < 300, self.metrics()
            time.sleep(0.1)
        seconds = time.monotonic() - begin
        used = [spent(was, cpu_seconds(pid)) for was, pid in zip(cpu, cpus)]
        arrived = receiver.report()
        # A delivery counts with its 2xx and its fact on the log; nothing failed on the way.
        assert arrived["requests"] == deliveries, (arrived, deliveries)
        if self.broker:
            kit.until(lambda: self.attempt_facts() - facts >= deliveries, 10, "the facts of all deliveries")
        return {"deliveries": deliveries, "seconds": seconds, "cpu_seconds": used[0], "receiver_cpu": used[1],
                "broker_cpu": used[2] if self.broker else 0, **resident_mib(self.pid), **arrived}

    def attempt_facts(self):
        """Records in `attempts`, as the broker says."""
        if not self.broker:
            return 0
        words = [BENCH / "bench_log_end", self.broker.address, TOPIC + "attempts"]
        return int(subprocess.run(words, capture_output=True, text=True, check=True).stdout)

    def close(self):
        self.daemon.stop()
