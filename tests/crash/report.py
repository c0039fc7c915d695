"""What a run says at its end."""
import collections

from storm import KINDS, struck

ZERO = ["lost", "never published", "badly signed", "altered", "under another webhook-id", "stamped with a wrong time",
        "repeats unexplained", "attempts after success", "early", "beyond policy", "dead for a wrong reason",
        "parked for no reason", "sent by a zombie", "sent without a lease"]


def summary(world, verdict, reconciled):
    events = world.ledger.events.values()
    acknowledged = sum(1 for event in events if event.acknowledged_at)
    count = verdict.count
    lines = [f"== {world.kind}",
             f"published {acknowledged} events acknowledged ({len(events) - acknowledged} more may be), "
             f"{count['owed']} deliveries owed",
             f"delivered {count['delivered']}, parked {count['parked']}, dead {count['dead']}, lost {count['lost']}",
             f"arrivals {len(world.records.arrivals)}, repeats {count['repeats']} (explained "
             f"{count['repeats explained']}, unexplained {count['repeats unexplained']}), "
             f"{count['repeats'] / max(1, world.kills):.2f} a kill",
             f"early attempts {count['early']}, the worst by {verdict.worst_early:.3f} s (of {count['pauses judged']} "
             f"pauses judged; {count['pauses not judged']} lay across a fault), attempts beyond policy "
             f"{count['beyond policy']}",
             f"kills of daemons {world.kills}, of brokers {world.broker_kills}",
             "other faults: " + faults(world),
             "second judge, reconcile: " + reconciled]
    if world.not_shown:
        lines.append(f"{world.not_shown} parked deliveries are not shown under their webhook-id, only under their own id")
    wrong = {name: count[name] for name in ZERO if count[name]}
    lines.append("all else zero" if not wrong else f"WRONG: {wrong}")
    return lines


def faults(world):
    ran = collections.Counter(struck(world))
    # These two are entered under the name of what they do.
    planned = set(KINDS[world.kind]) - {"clock_wrong_at_start", "log_disk_full"}
    names = sorted(set(ran) | planned | set(world.not_run))
    return ", ".join(f"{name} {'NOT RUN' if name in world.not_run else ran[name]}" for name in names)
