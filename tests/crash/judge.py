"""The first judge: what the receivers saw against what the ledger says is owed. It asks the engine for two things only,
what it gave up and what it still holds, and believes neither without a reason that the receivers know of."""
import bisect
import collections

from faults import EXCUSED, LEASE

NEAR = 15          # seconds: a fact of a success is on the log by then, unless a fault stood in its way
STAMP_OFF = 60     # seconds that a signature's time may differ from ours
JITTER = 0.8
SLACK = 1.0        # seconds between a daemon's last byte and our note of it, on a machine that is busy
REASONS = {"client_error", "attempts_exhausted"}


class Verdict:
    def __init__(self):
        self.count = collections.Counter()
        self.found = []  # sentences
        self.worst_early = 0.0  # seconds

    def blame(self, what, sentence):
        self.count[what] += 1
        if self.count[what] <= 20:
            self.found.append(f"{what}: {sentence}")


class Judge:
    def __init__(self, world, arrivals, dead, parked):
        """`dead`: (event, tenant, endpoint) → reason; `parked`: the same keys, still held."""
        self.world, self.dead, self.parked = world, dead, parked
        self.arrivals = sorted(arrivals, key=lambda one: one.began)
        self.by_delivery, self.first_of = collections.defaultdict(list), {}
        for one in self.arrivals:
            self.first_of.setdefault(one.sender, one.began)
            self.by_delivery[one.event, one.tenant, one.endpoint].append(one)
        self.faults = sorted(world.faults, key=lambda fault: fault.began)
        self.kills = [fault for fault in self.faults if not fault.kind.startswith(("host", "endpoint", "clock"))]
        self.verdict = Verdict()

    def run(self):
        self.nothing_lost()
        self.nothing_foreign()
        for key, arrivals in self.by_delivery.items():
            self.repeats(key, arrivals)
            self.pace(key, arrivals)
        for fault in self.faults:
            if fault.kind == "zombie":
                self.zombie(fault)
            if fault.kind in ("link_cut", "link_silent"):
                self.cut_off(fault)
        return self.verdict

    # --- owed and given

    def nothing_lost(self):
        count, blame = self.verdict.count, self.verdict.blame
        delivered = {key for key, some in self.by_delivery.items() if any(one.status == 200 for one in some)}
        owed = self.world.ledger.owed()
        count["owed"] = len(owed)
        count["delivered"] = len(owed & delivered)
        for key in owed - delivered:
            if key in self.dead:
                count["dead"] += 1
                self.rightly_dead(key, blame)
            elif key in self.parked:
                count["parked"] += 1
                self.rightly_parked(key, blame)
            else:
                event = self.world.ledger.events[key[0]]
                blame("lost", f"{key} of {event.webhook_id} at {event.position}: acknowledged, and nowhere")
        count["dead and delivered"] = len(owed & delivered & set(self.dead))
        count["parked and delivered"] = len(owed & delivered & set(self.parked) - set(self.dead))

    def endpoint(self, key):
        return next(one for one in self.world.ledger.endpoints[key[1]] if one.id == key[2])

    def rightly_dead(self, key, blame):
        reason, endpoint = self.dead[key], self.endpoint(key)
        if reason not in REASONS:
            blame("dead for a wrong reason", f"{key}: {reason}")
        elif reason == "client_error" and not endpoint.is_refused(key[0]):
            blame("dead for a wrong reason", f"{key}: {reason}, but it never answers 4xx to that")
        elif reason == "attempts_exhausted" and endpoint.character not in ("hopeless", "sleeper") \
                and not self.trouble_at(endpoint):
            blame("dead for a wrong reason", f"{key}: {reason}, but nothing was wrong with its receiver")

    def trouble_at(self, endpoint):
        places = {f"h{endpoint.host}", "/".join(endpoint.key)}
        return any(fault.target in places or fault.kind.startswith(("dns", "link", "clock")) for fault in self.faults)

    def rightly_parked(self, key, blame):
        if not self.endpoint(key).sleeps(key[0]) and not self.trouble_at(self.endpoint(key)):
            blame("parked for no reason", str(key))

    def nothing_foreign(self):
        blame, ledger = self.verdict.blame, self.world.ledger
        for one in self.arrivals:
            event = ledger.events.get(one.event)
            where = f"{one.event} at {one.tenant}/{one.endpoint}"
            if not ledger.may_arrive(one.event, (one.tenant, one.endpoint)):
                blame("never published", where)
            elif event.webhook_id and one.webhook_id != event.webhook_id:
                blame("under another webhook-id", f"{where}: {one.webhook_id}, not {event.webhook_id}")
            if not one.signed:
                blame("badly signed", where)
            if not one.intact:
                blame("altered", where)
            if abs(one.skew) > STAMP_OFF and not self.clock_was_wrong(one):
                blame("stamped with a wrong time", f"{where}: {one.skew:.0f} s off")

    def clock_was_wrong(self, arrival):
        for fault in self.faults:
            # libfaketime looks at its file once a second.
            if fault.kind.startswith("clock") and fault.began - 1 <= arrival.began <= (fault.ended or 1e18) + 5:
                if self.sent_by(arrival) in (fault.target, None):
                    return True
        return False

    def sent_by(self, arrival):
        for one in self.world.instances:
            if any(life.address == arrival.sender for life in one.lives if life.address):
                return one.name
        return None

    # --- repeats

    def repeats(self, key, arrivals):
        accepted = [one for one in arrivals if one.status == 200]
        for first, again in zip(accepted, accepted[1:]):
            self.verdict.count["repeats"] += 1
            if self.explains(first, again):
                self.verdict.count["repeats explained"] += 1
            else:
                self.verdict.blame("repeats unexplained", f"{key}: accepted at {self.at(first)} by {first.sender}, again "
                                   f"at {self.at(again)} by {again.sender}; last faults {self.near(again.began)}")
        if not any(one.status == 200 for one in arrivals):
            return
        done = accepted[0]
        for late in arrivals[arrivals.index(done) + 1:]:
            if late.status != 200 and not self.explains(done, late):
                self.verdict.blame("attempts after success", f"{key}: at {self.at(late)}, accepted at {self.at(done)}")

    def explains(self, first, again):
        """A fault that ended within a minute before, and stood in the way of the first one's facts."""
        # A daemon that was long in starting repeats when it has started.
        woke = self.first_of.get(again.sender, again.began)
        for fault in self.kills:
            ended = fault.ended or 1e18
            if fault.began <= again.began and again.began - max(ended, woke) <= EXCUSED and \
                    first.began <= ended + SLACK and fault.began - first.began <= NEAR:
                return True
        return False

    def at(self, arrival):
        return f"{arrival.began - self.world.began:.2f} s"

    def near(self, moment):
        before = [fault for fault in self.faults if fault.began <= moment][-4:]
        return [(fault.kind, fault.target, round(fault.began - self.world.began, 2)) for fault in before]

    # --- early, and too many

    def pace(self, key, arrivals):
        delays = self.endpoint(key).delays()
        hits = sum(1 for fault in self.kills
                   if fault.began <= arrivals[-1].began and (fault.ended or 1e18) >= arrivals[0].began - NEAR)
        if len(arrivals) > 1 + len(delays) + hits:
            self.verdict.blame("beyond policy", f"{key}: {len(arrivals)} attempts, {hits} faults meanwhile")
        for n, (before, after) in enumerate(zip(arrivals, arrivals[1:])):
            if before.status == 200:
                continue
            if self.disturbed(before, after):
                self.verdict.count["pauses not judged"] += 1
                continue
            self.verdict.count["pauses judged"] += 1
            # What a fault took from the count of attempts makes a later pause as short as an earlier one.
            disturbed = sum(self.disturbed(a, b) for a, b in zip(arrivals[:n], arrivals[1:n + 1]))
            least = JITTER * delays[min(max(n - disturbed, 0), len(delays) - 1)]
            waited = after.began - (before.ended or before.began)
            if waited < least:
                self.verdict.worst_early = max(self.verdict.worst_early, least - waited)
                self.verdict.blame("early", f"{key}: attempt {after.n} {least - waited:.3f} s early, {waited:.3f} s "
                                   f"after the last at {self.at(before)}; faults {self.near(after.began)}")

    def disturbed(self, before, after):
        """Whether a fault of its daemon or its log lies between two attempts, which may then be one and the same."""
        if before.sender != after.sender or before.sender is None:
            return True
        name = self.sent_by(before)
        for fault in self.kills:
            if fault.began <= after.began and (fault.ended or 1e18) >= before.began - SLACK:
                if fault.target == name or fault.kind.startswith("broker") or name is None or fault.target is None:
                    return True
        return False

    # --- who may not send

    def zombie(self, fault):
        """Nothing from the time it was stopped until it was given partitions again."""
        one = next(one for one in self.world.instances if one.name == fault.target)
        wall = one.said_since(fault.detail["log_bytes"], "partition_assigned")
        life = next(life for life in one.lives if life.address == fault.detail["address"])
        back = life.ended or 1e18
        if wall is not None:
            back = min(back, wall - self.world.began_wall + self.world.began)
        self.silent("sent by a zombie", fault, fault.began + SLACK, back - 0.01)

    def cut_off(self, fault):
        """Without acknowledged commits the lease runs out."""
        self.silent("sent without a lease", fault, fault.began + LEASE + SLACK, fault.ended or 1e18)

    def silent(self, what, fault, since, until):
        for one in self.arrivals[bisect.bisect([one.began for one in self.arrivals], since):]:
            if one.began >= until:
                break
            if one.sender == fault.detail["address"]:
                self.verdict.blame(what, f"{fault.target} was gone from {fault.began - self.world.began:.2f} s, and sent "
                                   f"{one.event} to {one.tenant}/{one.endpoint} at {self.at(one)}")
