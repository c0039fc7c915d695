"""Customers and their characters: what each endpoint answers to which event is decided by the event's id, so that it
needs no memory and both judges can tell what must have come of it."""
import dataclasses
import json
import zlib

TENANTS = [f"tenant-{number:02}" for number in range(12)]
HOSTS = 4
SOURCE = "/crash"
TYPES = ["order.created", "order.paid", "invoice.sent"]
LONG = ("1s", "1s", "2s", "5s", "10s", "20s")


def draw(*words):
    """A number that these words always give."""
    return zlib.crc32("/".join(map(str, words)).encode())


def data_of(event_id):
    return {"event": event_id, "check": draw(event_id, "data"), "padding": "x" * (draw(event_id) % 700)}


@dataclasses.dataclass(frozen=True)
class Endpoint:
    tenant: str
    id: str
    host: int  # which receiver
    types: tuple
    retry: tuple
    character: str

    @property
    def key(self):
        return self.tenant, self.id

    def wants(self, type_):
        return any(type_ == one or one == "*" or (one.endswith(".*") and type_.startswith(one[:-1]))
                   for one in self.types)

    def delays(self):
        return [float(word[:-1]) * {"s": 1, "h": 3600}[word[-1]] for word in self.retry]

    def answer(self, event_id, n, mended=False):
        """To the n-th attempt of that event. `mended`: once all faults are healed, only what it means to refuse or to
        sleep on; else a breaker would try what fails every five minutes, one at a time."""
        chance = draw(event_id, self.tenant, self.id)
        if self.character == "flaky" and chance % 4 == 0 and not mended:
            return 503 if n <= 1 + chance // 4 % 3 else 200
        if self.is_refused(event_id):
            return 400
        if self.sleeps(event_id):
            return 503
        return 503 if self.character == "hopeless" and chance % 6 == 0 and not mended else 200

    def is_refused(self, event_id):
        return self.character == "refusing" and draw(event_id, self.tenant, self.id) % 6 == 0

    def sleeps(self, event_id):
        """Parked for half a day: it still is when the run ends, also where a clock was set forward by hours."""
        return self.character == "sleeper" and draw(event_id, self.tenant, self.id) % 7 == 0


CHARACTERS = {"steady": LONG, "flaky": LONG, "refusing": LONG, "hopeless": ("1s", "1s"), "sleeper": ("12h",)}


def all_endpoints():
    """Every tenant has one to four endpoints, every character comes often, and hosts have all kinds."""
    found = []
    for t, tenant in enumerate(TENANTS):
        for e in range(1 + t % 4):
            character = list(CHARACTERS)[(t + 2 * e) % len(CHARACTERS)]
            types = [("*",), ("order.*",), ("order.created", "invoice.sent")][(t + e) % 3]
            found.append(Endpoint(tenant, f"{character}-{e}", (t + e) % HOSTS, types, CHARACTERS[character], character))
    return found


def declaration(environment, endpoints, url_of):
    """What `postrider-ops endpoints apply` takes."""
    text = f'environment = "{environment}"\n'
    for one in endpoints:
        text += (f'[[endpoint]]\ntenant = "{one.tenant}"\nid = "{one.id}"\nurl = "{url_of(one)}"\n'
                 f'types = {json.dumps(one.types)}\nretry = {json.dumps(one.retry)}\nsecrets = ["env:TEST_SECRET"]\n')
    return text
