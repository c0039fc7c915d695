"""What the healthy get beside endpoints that hang, a tenant that floods, and an endpoint that answers after 14.9 s."""
import contextlib
import time

import parts
from figures import Goal

ENDPOINTS = 64
TENANTS = 15
LATE_MS = 14_900


def fairness(bench):
    """Fifteen healthy tenants offer half of what this machine delivers; beside them a sixteenth."""
    figures, seconds = bench.figures, bench.size(1, 20)
    with contextlib.ExitStack() as stack:
        began = lambda part: stack.enter_context(contextlib.closing(part))
        sink, flooded = began(parts.Sink("--late", 1, bench.size(1_500, LATE_MS))), began(parts.Sink())
        engine = stack.enter_context(bench.engine("Kafka"))
        engine.register(("fair", TENANTS * 4, sink.port, 4), ("flood", 4, flooded.port, 4),
                        ("slow", 1, sink.listens["late"][0], 1), retry=("24h",))
        rate = capacity(bench, engine, sink) // 2 // 4
        share = max(1, rate // TENANTS)
        for name, words in (("a tenant floods", ("flood", 1, share * 10)), ("an endpoint is late", ("slow", 1, share))):
            for _ in range(bench.rounds):
                without = healthy(engine, sink, rate, seconds)
                engine.operate("endpoints", "enable", "slowt0", "slowe0")
                with_ = healthy(engine, sink, rate, seconds, words)
                figures.add(f"{name}: healthy without", without, "/s")
                figures.add(f"{name}: healthy with", with_, "/s")
                figures.add(f"{name}: with, of without", with_ / without, "", Goal(least=0.95))


def capacity(bench, engine, sink):
    """Deliveries a second when all that can be sent is there."""
    count = bench.size(960, 48_000)
    engine.measure(sink, TENANTS * 4 * 4, "fair", TENANTS, 4)  # connections
    measured = engine.measure(sink, count, "fair", TENANTS, 4)
    bench.figures.add("healthy alone, as fast as it goes", count / measured["seconds"], "/s")
    return int(count / measured["seconds"])


def healthy(engine, sink, rate, seconds, words=None):
    """Deliveries to the healthy a second, until the last of them has come; then all comes to rest: what the late
    endpoint has not taken by then is held until it is asked again."""
    wanted = rate * seconds * 4
    sink.report()
    begin = time.monotonic()
    hostile = engine.load(words[2] * seconds, *words) if words else None
    publishing = engine.load(rate * seconds, "fair", TENANTS, rate)
    arrived = 0
    while arrived < wanted:
        assert time.monotonic() - begin < seconds + 300, (arrived, wanted)
        time.sleep(0.05)
        arrived += sink.report()["requests"]
    took = time.monotonic() - begin
    assert publishing.wait() == 0 and (hostile is None or hostile.wait() == 0)
    engine.operate("endpoints", "disable", "slowt0", "slowe0", "--why", "benchmark")
    parts.kit.until(engine.at_rest, 300, "rest")
    return wanted / took


def hanging(bench):
    """A tenth of the endpoints take requests and never answer; then ten thousand do, each asked once in a run. Runs
    with and without alternate."""
    rate, seconds = bench.size(100, 500), bench.size(1, 20)
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(contextlib.closing(parts.Sink("--hanging", 1)))
        engine = stack.enter_context(bench.engine("Kafka"))
        tenth, many, port = 7, bench.size(100, 10_000), sink.listens["hanging"][0]
        engine.register(("well", ENDPOINTS, sink.port, 1), ("tenth", tenth, port, 1), ("many", many, port, 1),
                        retry=("24h",))
        engine.measure(sink, ENDPOINTS * 4, "well", ENDPOINTS)  # connections
        for prefix, count, name, their_rate in (("tenth", tenth, "a tenth hanging", rate // 10),
                                                ("many", many, f"{many:,} hanging", many // seconds)):
            for _ in range(bench.rounds):
                beside_hanging(bench, engine, sink, rate, seconds, prefix, count, their_rate, name)
            allow(bench.figures, name)
            for part in ("p50", "p99"):
                for which in ("without", "with"):
                    median = bench.figures.median(f"{name}: {part} {which}")
                    bench.figures.point("latency", which, f"{name}, {part}", median)


def beside_hanging(bench, engine, sink, rate, seconds, prefix, count, their_rate, name):
    figures = bench.figures
    for which in ("without", "with"):
        sink.report()
        before = engine.delivered(engine.metrics())
        hostile = engine.load(their_rate * seconds, prefix, count, their_rate) if which == "with" else None
        engine.publish(rate * seconds, "well", ENDPOINTS, rate)
        if hostile:
            assert hostile.wait() == 0
        wanted = rate * seconds
        parts.kit.until(lambda: engine.delivered(engine.metrics()) >= before + wanted, 600, "the healthy's events")
        arrived = sink.report()
        assert arrived["requests"] == wanted, (arrived, wanted)
        for part in ("p50", "p99"):
            figures.add(f"{name}: {part} {which}", arrived[f"latency_{part}_ms"], "ms")
        if bench.form == "quick":
            continue
        # What hangs is over before the next run begins.
        under_way = lambda: engine.metric("in_flight_attempts") + engine.metric("queued_deliveries")
        parts.kit.until(lambda: under_way() == 0, 600, "rest")


def allow(figures, name):
    without = figures.median(f"{name}: p99 without")
    figures.judge(f"{name}: p99 with", Goal(most=round(max(1.3 * without, without + 2), 1)))


ROWS = {"fairness": fairness, "hanging": hanging}
