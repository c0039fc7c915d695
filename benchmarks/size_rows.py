"""What the daemon takes when nothing happens, when it starts, and when there is very much of something."""
import contextlib
import shutil
import time

import parts
from figures import Goal


def idle(bench):
    """A daemon with nothing to do: its start on an empty view, then its CPU and memory on either log."""
    with bench.fresh("embedded") as engine:
        engine.declare(("idle", ["http://127.0.0.1:9/hook"], 1))
        for _ in range(bench.rounds):
            took = start_seconds(engine.daemon)
            bench.figures.add("start to readiness, embedded, empty view", took, "s", Goal(most=1))
        at_rest(bench, engine)
    with bench.engine("Kafka") as engine:
        engine.declare(("idle", ["http://127.0.0.1:9/hook"], 1))
        at_rest(bench, engine)


def at_rest(bench, engine):
    figures, seconds = bench.figures, bench.size(1, 30)
    time.sleep(2)
    for _ in range(bench.rounds):
        before = parts.cpu_seconds(engine.pid)
        time.sleep(seconds)
        share = 100 * (parts.cpu_seconds(engine.pid) - before) / seconds
        figures.add(f"idle, {engine.kind}: of a core", share, "%", Goal(most=1))
        figures.add(f"idle, {engine.kind}: resident", parts.resident_mib(engine.pid)["now"], "MiB", Goal(most=60))


def start_seconds(daemon):
    daemon.stop()
    shutil.rmtree(daemon.data / "view")
    begin = time.monotonic()
    daemon.start(ready=False)
    while not daemon.is_ready():
        time.sleep(0.005)
    return time.monotonic() - begin


def registered(bench):
    """A million endpoints, ten a tenant: what each takes at rest, and what an event costs then."""
    figures, count = bench.figures, bench.size(1_000, 1_000_000)
    few, per_tenant, events = bench.size(100, 1_000), 10, bench.size(100, 5_000)
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(contextlib.closing(parts.Sink()))
        engine = stack.enter_context(bench.fresh("embedded"))
        engine.register(("few", few, sink.port, per_tenant))
        with_few = parts.resident_mib(engine.pid)["now"]
        engine.measure(sink, few, "few", few // per_tenant, per_tenant)
        cheap = engine.measure(sink, events * per_tenant, "few", few // per_tenant, per_tenant)
        begin = time.monotonic()
        engine.register(("all", count, sink.port, per_tenant))
        figures.add(f"{count:,} registered and read", time.monotonic() - begin, "s")
        each = (parts.resident_mib(engine.pid)["now"] - with_few) * 2**20 / count
        figures.add(f"each of {count:,} registered endpoints, resident", each, "bytes", Goal(most=600))
        engine.measure(sink, few, "few", few // per_tenant, per_tenant)
        dear = engine.measure(sink, events * per_tenant, "few", few // per_tenant, per_tenant)
        for number, measured in ((few, cheap), (count, dear)):
            cost = 1e6 * measured["cpu_seconds"] / measured["deliveries"]
            figures.add(f"a delivery with {number:,} registered", cost, "µs CPU")


def fan_out(bench):
    """One event to ten thousand endpoints: memory does not follow the payload."""
    figures, count = bench.figures, bench.size(200, 10_000)
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(contextlib.closing(parts.Sink()))
        engine = stack.enter_context(bench.engine("Kafka"))
        engine.register(("wide", count, sink.port, count))
        engine.measure(sink, count, "wide", 1, count)  # connections
        for _ in range(bench.rounds):
            small, large = (grown(engine, sink, count, size) for size in (1_024, 262_144))
            figures.add(f"1 event to {count:,} endpoints: growth of memory, 1 KiB", small, "MiB")
            figures.add(f"1 event to {count:,} endpoints: growth of memory, 256 KiB", large, "MiB")
            # Held once: what is under way at the kernel is not the daemon's.
            figures.add("the larger payload, for all endpoints together", large - small, "MiB", Goal(most=16))


def grown(engine, sink, count, size):
    """The peak while one event goes out, above what was resident before."""
    parts.forget_peak(engine.pid)
    before = parts.resident_mib(engine.pid)["now"]
    sink.report()
    delivered = engine.delivered(engine.metrics())
    engine.publish(1, "wide", 1, size=size)
    parts.kit.until(lambda: engine.at_rest(delivered + count), 300, "the event at all endpoints")
    assert sink.report()["requests"] == count
    return parts.resident_mib(engine.pid)["peak"] - before


ROWS = {"idle": idle, "registered": registered, "fan-out": fan_out}
