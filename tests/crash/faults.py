"""Every kind of fault, and how it heals. What a step takes from chance it draws from the run's seed in a fixed order;
when exactly it strikes is the machine's."""
import heapq
import itertools
import json
import signal
import time
import urllib.parse

import embedded_files
from kit import until
from proxy import CUT, SILENT, WELL
from receivers import ANSWERS, FAILS, HANGS, RESETS

SESSION = 6.0
LEASE = 0.8 * SESSION
# A start may be refused for as long as this after what it needs was away: it is started again, as systemd would.
EXCUSED = 60
AWAY = {"KAFKA_UNREACHABLE", "IDENTITY_NOT_WRITTEN", "TOPIC_MISSING", "DISK_FULL", "LOG_DISK_FULL", "DATA_UNREADABLE", "LOG_UNUSABLE",
        "LOG_UNREADABLE"}
KAFKA_FAULTS = ("broker", "link", "dns")  # the brokers' names are asked for too


class EngineFault(AssertionError):
    """The engine did what it must not."""


class Faults:
    def __init__(self, world, chance):
        self.world, self.chance = world, chance
        self.healing, self.order = [], itertools.count()
        self.busy = set()  # what a lasting fault has hold of

    # --- lasting faults

    def lasting(self, kind, target, seconds, heal, detail=None, may_heal=lambda: True):
        fault = self.world.fault(kind, getattr(target, "name", target), detail)
        self.busy.add((kind.split("_")[0], fault.target))

        def end():
            if not may_heal():
                return heapq.heappush(self.healing, (time.monotonic() + 0.5, next(self.order), end))
            heal()
            fault.end()
            self.busy.discard((kind.split("_")[0], fault.target))
        heapq.heappush(self.healing, (time.monotonic() + seconds, next(self.order), end))

    def is_busy(self, kind, target):
        return (kind, getattr(target, "name", target)) in self.busy

    def heal(self, everything=False):
        while self.healing and (everything or self.healing[0][0] <= time.monotonic()):
            heapq.heappop(self.healing)[2]()
            if everything:
                self.tend()
                time.sleep(0.05)

    def pause(self, least, most):
        """The daemons are looked after meanwhile."""
        end = time.monotonic() + self.chance.uniform(least, most)
        while True:
            self.heal()
            self.tend()
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, 0.05))

    def life(self, short, long):
        """Time to do something, or hardly any: then only by chance. A slow machine is waited for, within a bound."""
        if self.chance.random() < 0.5:
            return self.pause(*short)
        goal, end = len(self.world.records.arrivals) + 30, time.monotonic() + 15
        while len(self.world.records.arrivals) < goal and time.monotonic() < end:
            self.pause(0.05, 0.05)
        self.pause(*long)

    def tend(self):
        for one in self.world.instances:
            if one.wanted and not one.alive:
                one.end("refused")
                self.must_be_excused(one)
                time.sleep(0.2)
                one.start(ready=False)

    def must_be_excused(self, one):
        said = one.last_error()
        if one.process.returncode < 0:
            # A crash of its own. The run goes on, and has failed.
            self.world.fault("crash", one.name).end()
            return self.world.blame(f"crashed (signal {-one.process.returncode}) during {self.under_way()}: "
                                    f"{one.last_words()}")
        lately = [fault.kind for fault in self.world.faults
                  if fault.ended is None or time.monotonic() - fault.ended < EXCUSED]
        if said == "INVALID_CONFIGURATION" and {"clock_set", "clock_wrong"} & set(lately) \
                and "to initialize" in one.last_words():
            return  # librdkafka waits for its threads by the wall clock, which was set meanwhile
        if said == "DATA_UNREADABLE" and "No such file" in one.last_words():
            # Damage that is not taken for damage: it would never start again. Somebody deletes the view.
            self.world.blame(f"a damaged view was neither wiped nor rebuilt: {one.last_words().splitlines()[-1][:400]}")
            return one.wipe_view()
        if said not in AWAY or not any(kind.startswith((*KAFKA_FAULTS, "clock")) or "disk" in kind for kind in lately):
            raise EngineFault(f"{one.name} ended by itself with {one.process.returncode}, {said}: "
                              f"{one.errors.read_text()[-1500:]}")

    def under_way(self):
        return [fault.kind for fault in self.world.faults if fault.ended is None]

    def all_well(self):
        """Heals everything, and waits until every daemon says that it is ready."""
        self.heal(everything=True)

        def ready():
            self.tend()
            return all(one.is_ready() for one in self.world.instances if one.wanted and one.alive)
        try:
            until(ready, 240, "readiness of all daemons after every fault was healed")
        except AssertionError as error:
            raise EngineFault(f"{error}; {self.complaints()}") from error

    def complaints(self):
        return {one.name: one.complaints() for one in self.world.instances if one.wanted}

    # --- daemons

    def a_daemon(self):
        return self.chance.choice([one for one in self.world.instances if one.wanted])

    def log_is_away(self):
        return any(fault.ended is None and (fault.kind.startswith(KAFKA_FAULTS) or "disk" in fault.kind)
                   for fault in self.world.faults)

    def again(self, one, ready=True):
        one.start(ready=False)
        if ready and not self.log_is_away():
            self.await_ready(one)

    def await_ready(self, one):
        def ready():
            self.heal()
            self.tend()
            # A guest may be due to leave meanwhile.
            return not one.wanted or self.log_is_away() or (one.alive and one.is_ready())
        try:
            until(ready, 180, f"readiness of {one.name}")
        except AssertionError as error:
            raise EngineFault(f"{error}; {self.complaints()}") from error

    def kill_and(self, kind, between=lambda one: None, ready=True):
        one = self.a_daemon()
        wait = self.chance.uniform(0, 0.3)
        self.tend()
        fault = self.world.fault(kind, one.name)
        if one.alive:
            one.kill()
        fault.detail = between(one)
        time.sleep(wait)
        self.again(one, ready)
        fault.end()

    def kill(self):
        self.kill_and("kill", ready=self.chance.random() < 0.6)

    def kill_starting(self):
        wait = self.chance.uniform(0, 0.6)

        def once_more(one):
            one.start(ready=False)
            time.sleep(wait)
            if one.alive:
                one.kill()
        self.kill_and("kill_starting", once_more)

    def kill_all(self):
        fault = self.world.fault("kill_all")
        wanted = [one for one in self.world.instances if one.wanted]
        for one in wanted:
            if one.alive:
                one.kill()
        for one in wanted:
            self.again(one, ready=False)
        fault.end()

    def takeover(self):
        """Dead for longer than the session: the others take its partitions."""
        wait = SESSION + self.chance.uniform(1, 3)
        self.kill_and("takeover", lambda one: time.sleep(wait))

    def freeze(self):
        """SIGSTOP for less than a session."""
        one, wait = self.a_daemon(), self.chance.uniform(0.3, 2)
        self.stop_for("freeze", one, wait)

    def zombie(self):
        """SIGSTOP for longer than the session: others own its partitions when it wakes."""
        one, wait = self.a_daemon(), SESSION + self.chance.uniform(2, 5)
        self.stop_for("zombie", one, wait)

    def stop_for(self, kind, one, seconds):
        self.tend()
        if not one.alive or self.is_busy("clock", one):
            return
        fault = self.world.fault(kind, one.name, {"address": one.lives[-1].address})
        one.signal(signal.SIGSTOP)
        fault.detail["log_bytes"] = one.errors.stat().st_size
        time.sleep(seconds)
        one.signal(signal.SIGCONT)
        fault.detail["woke"] = time.monotonic()
        fault.end()

    def leave(self):
        one = self.a_daemon()
        wait = self.chance.uniform(0, 2)
        self.tend()
        self.await_ready(one)
        if not (one.alive and one.is_ready()):
            return  # its log is away: it is still starting, and has not learned of SIGTERM
        if self.world.broker and self.is_busy("clock", one):
            return  # librdkafka's threads end by the wall clock, as libfaketime shows it to some of its calls only
        fault = self.world.fault("leave", one.name)
        one.leave()
        time.sleep(wait)
        self.again(one)
        fault.end()

    def join(self):
        """Another daemon for a while; it leaves in order."""
        seconds = self.chance.uniform(8, 20)
        if self.is_busy("join", "guest"):
            return
        one = self.world.join()

        def goes():
            self.await_ready(one)
            one.wanted = False
            if one.alive and one.is_ready():
                one.leave()
            elif one.alive:
                one.kill()
        self.lasting("join", "guest", seconds, goes)

    # --- their disks and clocks

    def view_deleted(self):
        self.kill_and("view_deleted", lambda one: one.wipe_view())

    def view_flipped(self):
        flips = self.chance.randint(1, 20)
        self.kill_and("view_flipped",
                      lambda one: embedded_files.flip_any(one.data / "view", self.chance, flips))

    def disk_full(self):
        one, seconds = self.a_daemon(), self.chance.uniform(2, 8)
        self.full(one, one.data, "disk_full", seconds)

    def log_disk_full(self):
        one, seconds = self.a_daemon(), self.chance.uniform(2, 6)
        self.full(one, self.world.log_directory, "logdisk_full", seconds)

    def full(self, one, path, kind, seconds):
        if not self.is_busy(kind.split("_")[0], one):
            one.fill(path)
            self.lasting(kind, one, seconds, lambda: one.empty(path))

    def clock_set(self):
        """Forward or back, while it runs."""
        one, seconds = self.a_daemon(), self.chance.uniform(4, 12)
        by = self.chance.choice([-1, 1]) * self.chance.randint(400, 7200)
        if not self.is_busy("clock", one):
            one.set_clock(by)
            self.clock_goes_right("clock_set", one, seconds, by)

    def clock_wrong_at_start(self):
        seconds = self.chance.uniform(3, 8)
        by = self.chance.choice([-1, 1]) * self.chance.randint(400, 7200)

        def wrong(one):
            if not self.is_busy("clock", one):
                one.set_clock(by)
                self.clock_goes_right("clock_wrong", one, seconds, by)
        self.kill_and("kill", wrong)

    def clock_goes_right(self, kind, one, seconds, by):
        """Not while it starts: librdkafka 2.0.2 waits by the wall clock, and one set back then keeps it from starting."""
        has_started = lambda: not one.wanted or (one.alive and one.is_ready())
        self.lasting(kind, one, seconds, lambda: one.set_clock(0), {"by": by}, may_heal=has_started)

    # --- customers

    def a_host(self, state, kind):
        host, seconds = self.chance.choice(self.world.hosts), self.chance.uniform(2, 8)
        if self.is_busy("host", f"h{host.number}"):
            return

        def answers():
            host.state = ANSWERS
        host.state = state
        self.lasting(kind, f"h{host.number}", seconds, answers)

    def host_hangs(self):
        self.a_host(HANGS, "host_hangs")

    def host_resets(self):
        self.a_host(RESETS, "host_resets")

    def host_fails(self):
        self.a_host(FAILS, "host_fails")

    def host_closed(self):
        host, seconds = self.chance.choice(self.world.hosts), self.chance.uniform(2, 8)
        if not self.is_busy("host", f"h{host.number}"):
            host.close()
            self.lasting("host_closed", f"h{host.number}", seconds, host.open)

    def endpoint_fails(self):
        endpoint, seconds = self.chance.choice(self.world.endpoints), self.chance.uniform(4, 12)
        failing = self.world.hosts[endpoint.host].failing
        name = "/".join(endpoint.key)
        if not self.is_busy("endpoint", name):
            failing.add(endpoint.key)
            self.lasting("endpoint_fails", name, seconds, lambda: failing.discard(endpoint.key))

    def endpoint_disabled(self):
        endpoint, seconds = self.chance.choice(self.world.endpoints), self.chance.uniform(4, 12)
        name = "/".join(endpoint.key)
        if not self.is_busy("endpoint", name) and not self.log_is_away():
            self.command(endpoint, "disable", {"why": "the crash test"})
            self.lasting("endpoint_disabled", name, seconds, lambda: self.command(endpoint, "enable"))

    def command(self, endpoint, verb, body=None):
        """To any daemon that answers, until one has done it."""
        path = f"/v1/tenants/{endpoint.tenant}/endpoints/{endpoint.id}/{verb}"

        def done():
            for one in self.world.alive:
                try:
                    status, answer = one.ask("POST", path, body)
                except (OSError, ValueError):
                    continue
                if status == 200:
                    return True
                if status not in (409, 503):
                    raise EngineFault(f"{verb} of {endpoint.key}: {status} {answer}")
            self.heal()  # what it waits for may be a fault that is over
            self.tend()
            return False
        until(done, 180, f"{verb} of {endpoint.key}")

    def dns_gone(self):
        one, seconds = self.a_daemon(), self.chance.uniform(6, 12)  # names are kept for 5 s
        if not self.is_busy("dns", one):
            one.names.gone = True

            def back():
                one.names.gone = False
            self.lasting("dns_gone", one, seconds, back)

    # --- Kafka

    def broker_killed(self):
        node, seconds = self.chance.randint(1, self.world.nodes), self.chance.uniform(0.5, 6)
        if any(kind == "broker" for kind, _ in self.busy):
            return
        self.world.broker.kill(node)
        self.world.broker_kills += 1
        self.lasting("broker_killed", node, seconds, lambda: self.world.broker.wake(node))

    def broker_frozen(self):
        """A leader that is deposed and still thinks it leads."""
        node, seconds = self.chance.randint(1, self.world.nodes), self.chance.uniform(2, 14)
        if any(kind == "broker" for kind, _ in self.busy):
            return
        self.world.broker.signal(node, signal.SIGSTOP)
        self.lasting("broker_frozen", node, seconds, lambda: self.world.broker.signal(node, signal.SIGCONT))

    def link(self, kind, state, least, most):
        one, seconds = self.a_daemon(), self.chance.uniform(least, most)
        if not self.is_busy("link", one):
            self.world.proxy.set(one.number, state)
            self.lasting(kind, one, seconds, lambda: self.world.proxy.set(one.number, WELL),
                         {"state": state, "address": one.lives[-1].address})

    def link_cut(self):
        self.link("link_cut", CUT, 0.5, 12)

    def link_silent(self):
        self.link("link_silent", SILENT, 2, 14)

    def link_slow(self):
        self.link("link_slow", self.chance.uniform(0.02, 0.4), 3, 10)

    # --- the embedded log's files

    def torn_tail(self):
        """What an unfinished write leaves behind: it was never acknowledged, so it must start again."""
        self.kill_and("torn_tail", lambda one: embedded_files.tear(self.world.log_directory, self.chance))
