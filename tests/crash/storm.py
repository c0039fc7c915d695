"""The order of faults: drawn whole from the seed before the first one strikes."""
import collections
import random

from faults import Faults

# kind → (how often beside the kills, what it needs)
COMMON = {"freeze": (1, None), "leave": (1, None), "view_deleted": (2, None), "view_flipped": (2, None),
          "disk_full": (1, "disks"), "clock_set": (2, "clock"),
          "dns_gone": (1, "names"), "host_hangs": (1, None), "host_resets": (1, None), "host_fails": (1, None),
          "host_closed": (1, None), "endpoint_fails": (2, None), "endpoint_disabled": (2, None)}
KINDS = {
    "embedded": COMMON | {"torn_tail": (3, None), "log_disk_full": (1, "disks"), "clock_wrong_at_start": (1, "clock")},
    "kafka": COMMON | {"zombie": (1, None), "takeover": (1, None), "join": (1, None), "kill_all": (1, None),
                       "broker_killed": (1, None), "link_cut": (1, "links"), "link_silent": (1, "links"),
                       "link_slow": (1, "links")},
}
KINDS["cluster"] = KINDS["kafka"] | {"broker_killed": (3, None), "broker_frozen": (2, None)}
KILLS = {"kill": 1, "kill_starting": 2}  # what the rest of the kills are made of
# Lives too short for a commit, and lives in which something gets done: least and most seconds, and how often.
SHORT_LIFE, LONG_LIFE = (0.05, 0.5), (0.8, 2.5)
# These open breakers, which stay open for half a minute and more: only early, so that the end need not wait for them.
OPENS_BREAKERS = ("host_", "endpoint_fails", "dns_gone", "link_", "clock_")


def plan(kind, chance, kills):
    """As many steps as it takes for about that many kills, every other kind in proportion."""
    steps = []
    for name, (often, _) in KINDS[kind].items():
        steps += [name] * often * max(1, kills // 60)
    sure = sum(1 for name in steps if name in ("view_deleted", "view_flipped", "clock_wrong_at_start", "torn_tail",
                                               "takeover")) + 2 * steps.count("kill_all")
    while sure < kills:
        name = chance.choices(list(KILLS), [3, 1])[0]
        steps.append(name)
        sure += KILLS[name]
    chance.shuffle(steps)
    early = 2 * len(steps) // 3
    late = [at for at in range(early, len(steps)) if steps[at].startswith(OPENS_BREAKERS)]
    free = [at for at in range(early) if not steps[at].startswith(OPENS_BREAKERS)]
    for one, other in zip(late, chance.sample(free, min(len(late), len(free)))):
        steps[one], steps[other] = steps[other], steps[one]
    return steps


def strike(world, kills, until=lambda: False, say=lambda text: None):
    """Runs the plan. Ends early when `until` says so."""
    chance = random.Random(f"{world.seed}-{world.kind}")
    faults = Faults(world, chance)
    steps = plan(world.kind, chance, kills)
    try:
        for number, name in enumerate(steps, 1):
            needs = KINDS[world.kind].get(name, (0, None))[1]
            if needs and not world.can(needs):
                world.not_run[name] = f"needs {needs}"
                continue
            if until():
                break
            getattr(faults, name)()
            say(f"{world.kind}: {number}/{len(steps)} {name}, {world.kills} kills, "
                f"{len(world.ledger.events)} events, {len(world.records.arrivals)} arrivals")
            faults.life(SHORT_LIFE, LONG_LIFE)
        # The plan's own number is a guess where a daemon was down already.
        while world.kills < kills and not until():
            faults.kill()
            faults.life(SHORT_LIFE, LONG_LIFE)
    finally:
        world.publishing.stopping.set()
    for host in world.hosts:
        host.mended = True
    faults.all_well()
    world.publishing.stop()
    return faults


def struck(world):
    return collections.Counter(fault.kind for fault in world.faults)
