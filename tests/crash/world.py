"""All that a run has: endpoints and their receivers, producers, daemons, and the faults that struck."""
import collections
import itertools
import shutil
import time

from endpoints import HOSTS, all_endpoints, declaration
from instance import FAKETIME, Instance
from kit import SECRET, Authority, Broker, run_tool, until
from ledger import Ledger
from names import HOOKS, KAFKA
from proxy import Proxy
from publishing import OverHttp, ToKafka
from reactor import Reactor
from receivers import Host, Records


class Fault:
    def __init__(self, kind, target=None, detail=None):
        self.kind, self.target, self.detail = kind, target, detail
        self.began, self.ended = time.monotonic(), None

    def end(self):
        self.ended = time.monotonic()

    def row(self):
        return vars(self)


class World:
    """Without a log yet."""
    not_possible = {}  # kind of fault → why
    FIRST = 11  # number of the first daemon, and the second byte of its addresses

    def __init__(self, name, directory, seed, per_second, isolated):
        self.name, self.directory, self.seed, self.per_second, self.isolated = name, directory, seed, per_second, isolated
        directory.mkdir(parents=True)
        self.environment = "crash"
        self.began, self.began_wall = time.monotonic(), time.time()
        self.reactor = Reactor()
        clock = ("faketime", "-f", "-3d", "openssl") if self.can("clock") else ("openssl",)
        self.authority = Authority(directory, names=[f"*.{HOOKS}"], openssl=clock)
        self.endpoints = all_endpoints()
        self.ledger, self.records = Ledger(self.endpoints), Records()
        self.hosts = [Host(self.reactor, self.authority, number, self.endpoints, self.records) for number in range(HOSTS)]
        self.faults, self.not_run, self.instances = [], dict(self.not_possible), []
        self.not_shown = 0  # parked deliveries that a look-up by webhook-id left out
        self.wrong = collections.Counter()  # sentences: what the engine did that it must not
        self.numbers = itertools.count(self.FIRST)
        self.broker = self.proxy = self.publishing = None
        self.broker_kills = 0

    def can(self, what):
        """names, disks, links: with namespaces; clock: with Debian's libfaketime as well."""
        return self.isolated and (what != "clock" or FAKETIME.exists())

    def url(self, endpoint):
        name = f"h{endpoint.host}.{HOOKS}" if self.isolated else "localhost"
        return f"https://{name}:{self.hosts[endpoint.host].port}/{endpoint.tenant}/{endpoint.id}"

    def blame(self, sentence):
        self.wrong[sentence] += 1

    def blamed(self):
        return [f"{times} times: {sentence}" if times > 1 else sentence for sentence, times in self.wrong.items()]

    def fault(self, kind, target=None, detail=None):
        self.faults.append(Fault(kind, target, detail))
        return self.faults[-1]

    @property
    def kills(self):
        return sum(one.kills for one in self.instances)

    @property
    def alive(self):
        return [one for one in self.instances if one.alive]

    def apply_endpoints(self, daemon):
        file = self.directory / "endpoints.toml"
        file.write_text(declaration(self.environment, self.endpoints, self.url))
        done = daemon.ops("endpoints", "apply", file)
        assert done.code == 0, done

    def close(self, keep=False):
        if self.publishing:
            self.publishing.stopping.set()
        for one in self.instances:
            one.close(keep)
        if self.broker:
            self.broker.close()
        self.reactor.close()


class EmbeddedWorld(World):
    """One process, its log and its view on small disks."""
    kind = "embedded"
    FIRST = 5

    def open(self):
        daemon = Instance(self, next(self.numbers))
        self.instances.append(daemon)
        assert run_tool("postrider-ops", "keys", "new", daemon.key).code == 0
        self.log_directory = daemon.directory / "log"
        if self.can("disks"):
            daemon.give_disk(daemon.data)
            daemon.give_disk(self.log_directory)
        daemon.start()
        daemon.wait_token()
        self.apply_endpoints(daemon)
        self.publishing = OverHttp(self.ledger, self.seed, self.per_second, "e", daemon).start()
        return self

    def end_daemons(self):
        """By SIGKILL, and what it left is set aside: an orderly end or a tool that opens it leaves no write-ahead log to
        damage."""
        self.instances[0].kill()
        shutil.copytree(self.log_directory, self.directory / "sound", ignore=shutil.ignore_patterns("lock", "ballast"))

    def log_words(self):
        """For postrider-ops, while no daemon lives."""
        return ["--log", f"embedded:{self.log_directory}", "--environment", self.environment,
                "--keys", f"file:{self.instances[0].key}"]


class KafkaWorld(World):
    """Daemons that share a Kafka of one broker or three."""
    kind = "kafka"
    nodes = 1
    not_possible = {"clock_wrong_at_start": "libfaketime does not reach librdkafka's waiting"}
    daemons = 2
    partitions = 6

    def open(self):
        behind = ["--behind", KAFKA] if self.can("links") else []
        self.broker = Broker(self.directory / "kafka", nodes=self.nodes, more=behind)
        inner = f"kafka://{self.broker.address}"
        self.log = inner
        if behind:
            ports = self.broker.ports()
            self.proxy = Proxy(self.reactor, [(outer, listens) for _, _, listens, outer in ports])
            self.daemons_log = "kafka://" + ",".join(
                f"broker-{node}.{KAFKA}:{port[3]}" for node, port in enumerate(ports, 1))
        else:
            self.daemons_log = inner
        done = run_tool("postrider-ops", *self.log_words(), "topics", "create", "--partitions", self.partitions)
        assert done.code == 0, done
        for _ in range(self.daemons):
            self.join()
        for one in self.instances:
            until(one.is_ready, 180, f"readiness of {one.name}")
        self.share_token()
        self.apply_endpoints(self.instances[0])
        self.publishing = ToKafka(self.ledger, self.seed, self.per_second, "k", self.log, self.environment).start()
        return self

    def join(self):
        daemon = Instance(self, next(self.numbers), log=self.daemons_log)
        if self.instances:
            daemon.key.write_bytes(self.instances[0].key.read_bytes())
            daemon.key.chmod(0o600)
            daemon.token_file = self.instances[0].token_file
        else:
            assert run_tool("postrider-ops", "keys", "new", daemon.key).code == 0
        if self.can("disks"):
            daemon.give_disk(daemon.data)
        self.instances.append(daemon)
        return daemon.start(ready=False)

    def share_token(self):
        """Whichever daemon joined first has made it."""
        files = [one.data / "admin.token" for one in self.instances]
        made = until(lambda: next((file for file in files if file.exists()), None), 60, "admin.token")
        for one in self.instances:
            one.token_file = made

    def end_daemons(self):
        for one in self.alive:
            one.leave()

    def log_words(self):
        return ["--log", self.log, "--environment", self.environment]


class ClusterWorld(KafkaWorld):
    kind = "cluster"
    nodes = 3
    daemons = 3
