"""The second judge: `postrider-ops reconcile`, which knows the log alone. The two must agree."""
import datetime
import json

from kit import run_tool

NOT_RUN = "NOT RUN"


def exists():
    return "\n  reconcile" in run_tool("postrider-ops", "--help").out


def stamp(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def run(world, until):
    """Returns (exit code, findings, totals), or None where there is no such command. No daemon may hold an embedded
    log."""
    if not exists():
        return None
    # The embedded log's time is its host's, and that was set forward and back by up to two hours.
    span = ["--since", stamp(world.began_wall - 3 * 3600), "--until", stamp(until + 3 * 3600)]
    done = run_tool("postrider-ops", *world.log_words(), "reconcile", *span, "--json", timeout=1200)
    lines = [json.loads(line) for line in done.out.splitlines() if line.startswith("{")]
    if not lines:
        return done.code, [{"error": done.err[-2000:]}], {}
    return done.code, lines[:-1], lines[-1]


def disagreements(world, verdict, code, findings, totals):
    """What is surely on the log is a lower bound; what may be there besides, an upper one."""
    if code != 0 or totals.get("unaccounted"):
        yield f"reconcile: exit code {code}, {totals.get('unaccounted')} unaccounted: {findings[:5]}"
    if totals.get("cancelled") or totals.get("set_aside") or totals.get("in_progress"):
        yield f"reconcile: nothing was to be cancelled, set aside or in progress: {totals}"
    maybe = [event for event in world.ledger.events.values() if not event.acknowledged_at]
    # A producer's second try is a record of its own, and so may each try of its library's be.
    doubtful = sum(len(world.ledger.of(event)) for event in maybe) + \
        sum((event.tries - 1) * len(world.ledger.of(event)) for event in world.ledger.events.values())
    # Accepted, and then the daemon was killed before it could say so: what became of it when it was sent again stands.
    in_vain = verdict.count["dead and delivered"] + verdict.count["parked and delivered"]
    for total, low in (("delivered", verdict.count["delivered"] - in_vain),
                       ("dead", verdict.count["dead"]), ("parked", verdict.count["parked"])):
        said = totals.get(total)
        if said is not None and not low <= said <= low + doubtful + in_vain:
            yield f"reconcile says {said} {total}, the receivers and the ledger {low} and at most {doubtful} in doubt"
