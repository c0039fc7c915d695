"""Waits until all that is owed has come to an end, and asks what was given up and what is still held."""
import collections
import datetime
import subprocess
import time

from faults import EngineFault

BOUND = 400  # seconds; a breaker's pause may double to 4 minutes


def dead_letters(world):
    """(event, tenant, endpoint) → reason."""
    found = {}
    for endpoint in world.endpoints:
        answer = ask(world, f"/v1/dead-letters?limit=1000&tenant={endpoint.tenant}&endpoint={endpoint.id}")
        if answer["truncated"]:
            found.update(paged(world, endpoint))
        found.update({(one["event_id"], one["tenant"], one["endpoint"]): one["reason"]
                      for one in answer["dead_letters"]})
    return found


def paged(world, endpoint):
    """Backwards in time, a thousand at once."""
    found, until = {}, ""
    while True:
        answer = ask(world, f"/v1/dead-letters?limit=1000&tenant={endpoint.tenant}&endpoint={endpoint.id}{until}")
        letters = answer["dead_letters"]
        fresh = {(one["event_id"], one["tenant"], one["endpoint"]): one["reason"] for one in letters}
        if not answer["truncated"] or fresh.keys() <= found.keys():
            return found | fresh
        found |= fresh
        # "until" leaves out its own instant: one later, so that what died at the same is not passed over.
        last = datetime.datetime.fromisoformat(letters[-1]["dead_at"]) + datetime.timedelta(milliseconds=1)
        until = "&until=" + last.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def ask(world, path):
    """Any daemon: another one when the first does not answer."""
    for _ in range(20):
        for one in world.alive:
            try:
                status, answer = one.ask("GET", path)
            except (OSError, ValueError):
                continue
            if status == 200:
                return answer
            if status == 404:
                return None
        time.sleep(0.5)
    raise EngineFault(f"nobody answers {path}")


def held(world, keys):
    """Those of `keys` that are still parked: as the log has it, where it can be read from outside; else as a daemon
    says."""
    on_log = parked_on_log(world)
    names = delivery_ids(world, keys) if on_log else {}
    return {key for key, name in names.items() if name in on_log} | shown(world, set(keys) - names.keys())


def parked_on_log(world):
    """Delivery ids whose last record in `parked` is no tombstone."""
    if not world.broker:
        return set()
    read = subprocess.run(["kcat", "-C", "-q", "-b", world.broker.address, "-t", f"{world.environment}.postrider.parked",
                           "-o", "beginning", "-e", "-f", "%k %S\n"], capture_output=True, text=True, timeout=300,
                          check=True)
    last = dict(line.split(" ") for line in read.stdout.splitlines())
    return {key for key, length in last.items() if length != "-1"}


def delivery_ids(world, keys):
    """As daemons' logs name them. A line may be missing: the daemon was killed before it wrote it."""
    found = {}
    for one in world.instances:
        for line in one.lines():
            key = line.get("correlation_id"), line.get("tenant"), line.get("endpoint")
            if key in keys and "delivery" in line:
                found[key] = line["delivery"]
    return found


def shown(world, keys):
    """Asked for by its webhook-id; what does not show there (`world.not_shown` counts them), by its delivery id."""
    wanted = collections.defaultdict(set)
    for key in keys:
        wanted[world.ledger.events[key[0]].webhook_id].add(key)
    named, found = set(), set()
    for webhook_id, some in wanted.items():
        for one in deliveries(world, webhook_id):
            key = one["event_id"], one["tenant"], one["endpoint"]
            named.add(key)
            if key in some and one["state"] == "parked":
                found.add(key)
    missing = keys - named
    world.not_shown = len(missing)
    names = delivery_ids(world, missing) if missing else {}
    return found | {key for key, name in names.items() if any(one["state"] == "parked" for one in deliveries(world, name))}


def deliveries(world, name):
    return (ask(world, f"/v1/deliveries/{name}") or {}).get("deliveries", [])


def settle(world, tend, say=lambda text: None):
    """Returns (dead, parked). Waits only for what may still move: what nobody speaks of any more is for the judge."""
    began, sleeping = time.monotonic(), time.monotonic()
    before = None
    while True:
        tend()
        open_ = world.ledger.owed() - world.records.accepted
        asleep = {key for key in open_ if is_asleep(world, key)}
        dead = dead_letters(world)
        open_ -= asleep | dead.keys()
        if not open_:
            return told_last(world, held(world, asleep | accepted_in_vain(world)))
        say(f"{world.kind}: {len(open_)} deliveries are still owed, {sorted(open_)[:3]}")
        now = open_, len(world.records.arrivals)
        if now != before:
            before, sleeping = now, time.monotonic()
        # Nothing has moved for long, and nobody holds what is missing: it will not come.
        waited = time.monotonic() - sleeping
        if waited > 20:
            parked = held(world, open_)
            if not parked or time.monotonic() - began > BOUND:
                return told_last(world, parked | held(world, asleep | accepted_in_vain(world)))
        time.sleep(1)


def accepted_in_vain(world):
    """What a sleeper accepted from a daemon that was killed before it could say so, and that failed when it was sent
    again (the host was closed, say): it waits half a day for its next attempt."""
    found = set()
    for one in world.instances:
        for line in one.lines():
            key = line.get("correlation_id"), line.get("tenant"), line.get("endpoint")
            if line.get("operation") == "deliver" and line.get("level") != "info" and key in world.records.accepted \
                    and is_asleep(world, key):
                found.add(key)
    return found & world.ledger.owed()


def told_last(world, parked):
    """What is given up while it is asked for was parked a moment ago: the letters are read last."""
    return dead_letters(world), parked


def is_asleep(world, key):
    endpoint = next(one for one in world.ledger.endpoints[key[1]] if one.id == key[2])
    return endpoint.character == "sleeper"
