"""From the intended send time to the arrival."""
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
    figures, seconds, name = bench.figures, bench.size(1, 20), f"{engine.kind}, {rate:,} a second"
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


ROWS = {"latency": latency}
