"""Ten million parked deliveries of a million events: what they take, what they cost the healthy, and whether each
leaves on time. Only in the full form: they are parked one by one, by receivers that ask for a day's patience."""
import contextlib
import statistics

import parts
from figures import Goal

FAN_OUT = 10
# Of sink.cc: one in eight is not refused, so that no breaker opens.
REFUSED = 7 / 8
A_DAY = 86_400


def parked(bench):
    figures = bench.figures
    sizes = bench.size((100, 1_000), (10_000, 100_000, 1_000_000, 10_000_000))
    sizes = [size for size in sizes if size <= bench.backlog]
    wait = bench.size(2, 10)
    with contextlib.ExitStack() as stack:
        began = lambda part: stack.enter_context(contextlib.closing(part))
        sink, patient, soon = began(parts.Sink()), began(parts.Sink("--refusing", 1, A_DAY)), began(
            parts.Sink("--refusing", 1, wait))
        engine = stack.enter_context(bench.fresh("Kafka"))
        engine.register(("well", 64, sink.port, 8), ("parked", 10 * FAN_OUT, patient.listens["refusing"][0], FAN_OUT))
        # Their own schedule is shorter than what the receiver asks for, which is then the time that counts.
        engine.register(("soon", 64, soon.listens["refusing"][0], 1), retry=("1s", "1s"))
        engine.measure(sink, 64 * 4, "well", 8, 8)  # connections
        alone = healthy(bench, engine, sink, 0)
        on_time(bench, engine, soon, wait, 0)
        for size in sizes:
            fill(engine, size)
            share = healthy(bench, engine, sink, size) / alone
            figures.add(f"{size:,} parked: healthy throughput, of without", share, "", Goal(least=0.9))
            on_time(bench, engine, soon, wait, size)
            figures.add(f"{size:,} parked: resident", parts.resident_mib(engine.pid)["now"], "MiB", Goal(most=512))


def fill(engine, size):
    """Until so many are parked."""
    while (lacking := size - engine.metric("parked_deliveries")) > 0:
        engine.publish(int(lacking / FAN_OUT / REFUSED) + 1, "parked", 10)
        parts.kit.until(engine.at_rest, 4 * 3600, "the backlog")


def healthy(bench, engine, sink, size):
    """Deliveries a second, the median of the rounds."""
    measured = [engine.measure(sink, bench.size(640, 32_000), "well", 8, 8) for _ in range(bench.rounds)]
    costs = [1e6 * one["cpu_seconds"] / one["deliveries"] for one in measured]
    for one, cost in zip(measured, costs):
        bench.figures.add(f"{size:,} parked: healthy", one["deliveries"] / one["seconds"], "/s")
        bench.figures.add(f"{size:,} parked: a healthy delivery", cost, "µs CPU")
    if size:
        bench.figures.point("parked", "a healthy delivery, CPU", size, statistics.median(costs))
    return statistics.median(one["deliveries"] / one["seconds"] for one in measured)


def on_time(bench, engine, soon, wait, size):
    """How far from its time a delivery comes again, at most."""
    count = bench.size(64, 6_400)
    soon.report()
    before = engine.delivered(engine.metrics())
    engine.publish(count, "soon", 64, rate=bench.size(64, 640))
    parts.kit.until(lambda: engine.delivered(engine.metrics()) >= before + count, 600, "what was refused")
    arrived = soon.report()
    bench.figures.add(f"{size:,} parked: earliest", arrived["again_min_ms"] / 1000 - wait, "s", Goal(least=-1))
    bench.figures.add(f"{size:,} parked: latest", arrived["again_max_ms"] / 1000 - wait, "s", Goal(most=1))


ROWS = {"parked": parked}
