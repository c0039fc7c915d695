"""From the intended send time to the arrival at healthy endpoints: at rest, and beside hostile ones."""
import contextlib

import parts
from figures import Goal

ENDPOINTS = 64
# per second → most milliseconds
P99 = {200: 10, 1_000: 15}


def latency(bench):
    """Healthy endpoints alone, on both logs; on Kafka beside the barest relay."""
    figures = bench.figures
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(contextlib.closing(parts.Sink(ports=ENDPOINTS)))
        beside = stack.enter_context(contextlib.closing(parts.Sink(ports=ENDPOINTS)))
        engines = [stack.enter_context(bench.engine(log)) for log in ("Kafka", "embedded")]
        for engine in engines:
            engine.declare(("late", sink.urls, 1))
            engine.measure(sink, ENDPOINTS * 4, "late", ENDPOINTS)  # connections
        for _ in range(bench.rounds):
            for rate in P99:
                for engine in engines:
                    steady(bench, engine, sink, beside, rate)


def steady(bench, engine, sink, beside, rate):
    figures, seconds, name = bench.figures, bench.size(2, 20), f"{engine.kind}, {rate:,} a second"
    with parts.relay(engine.broker, beside) if engine.broker else contextlib.nullcontext():
        beside.report()
        measured = engine.measure(sink, rate * seconds, "late", ENDPOINTS, rate=rate)
        relayed = beside.report()
    for part, most in (("p50", 3), ("p99", P99[rate])):
        figures.add(f"{name}: {part}", measured[f"latency_{part}_ms"], "ms", Goal(most=most))
        if engine.broker:
            assert relayed["requests"] > rate * seconds, relayed  # and the load's warm-up
            figures.add(f"{name}: {part} of a bare relay", relayed[f"latency_{part}_ms"], "ms")
            figures.add(f"{name}: {part} of the relay's",
                        measured[f"latency_{part}_ms"] / max(relayed[f"latency_{part}_ms"], 0.01), "", Goal(most=1.5))


def hanging(bench):
    """A tenth of the endpoints take requests and never answer; then ten thousand do. Runs with and without alternate."""
    rate = bench.size(100, 500)
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(contextlib.closing(parts.Sink("--hanging", 1)))
        engine = stack.enter_context(bench.engine("Kafka"))
        tenth, many, port = 7, bench.size(100, 10_000), sink.listens["hanging"][0]
        engine.register(("well", ENDPOINTS, sink.port, 1), ("tenth", tenth, port, 1), ("many", many, port, 1),
                        retry=("24h",))
        engine.measure(sink, ENDPOINTS * 4, "well", ENDPOINTS)  # connections
        for prefix, count, name, their_rate in (("tenth", tenth, "a tenth hanging", rate // 10),
                                                ("many", many, f"{many:,} hanging", bench.size(100, 1_000))):
            for _ in range(bench.rounds):
                beside_hanging(bench, engine, sink, rate, prefix, count, their_rate, name)
            allow(bench.figures, name)
            for part in ("p50", "p99"):
                for which in ("without", "with"):
                    bench.figures.point("latency", which, f"{name}, {part}", bench.figures.median(f"{name}: {part} {which}"))


def beside_hanging(bench, engine, sink, rate, prefix, count, their_rate, name):
    figures, seconds = bench.figures, bench.size(2, 20)
    for which in ("without", "with"):
        sink.report()
        before = engine.delivered(engine.metrics())
        hostile = engine.load(their_rate * seconds, prefix, count, their_rate) if which == "with" else None
        engine.publish(rate * seconds, "well", ENDPOINTS, rate)
        if hostile:
            assert hostile.wait() == 0
        wanted = rate * seconds
        parts.kit.until(lambda: engine.delivered(engine.metrics()) >= before + wanted, 120, "the healthy endpoints' events")
        arrived = sink.report()
        assert arrived["requests"] == wanted, (arrived, wanted)
        for part in ("p50", "p99"):
            figures.add(f"{name}: {part} {which}", arrived[f"latency_{part}_ms"], "ms")
        # What hangs is over before the next run begins.
        parts.kit.until(lambda: engine.metric("in_flight_attempts") + engine.metric("queued_deliveries") == 0, 120, "rest")


def allow(figures, name):
    without = figures.median(f"{name}: p99 without")
    figures.judge(f"{name}: p99 with", Goal(most=round(max(1.3 * without, without + 2), 1)))


ROWS = {"latency": latency, "hanging": hanging}
