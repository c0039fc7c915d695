"""What the healthy get while somebody floods, or while an endpoint answers after 14.9 s."""
import contextlib
import time

import parts
from figures import Goal

TENANTS = 15
LATE_MS = 14_900


def fairness(bench):
    """Fifteen healthy tenants offer half of what this machine delivers; beside them a sixteenth."""
    figures, seconds = bench.figures, bench.size(2, 20)
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
    """Deliveries to the healthy a second, until the last of them has come; then all comes to rest."""
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
    parts.kit.until(engine.at_rest, 300, "rest")
    return wanted / took


ROWS = {"fairness": fairness}
