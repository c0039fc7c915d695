"""What a delivery costs: the engine on both logs beside the bare loop, at one receiver, in CPU."""
import contextlib

import parts
from figures import Goal

ENDPOINTS = 64
OF_BARE = {1: Goal(least=0.8, not_done=0.6), 8: Goal(least=0.9, not_done=0.7), 64: None}
R_OF_BARE = Goal(most=2.1)
R = {"Kafka": Goal(most=2.3), "embedded": Goal(most=2.0)}


def per_cpu(measured):
    return measured["deliveries"] / measured["cpu_seconds"]


def r(measured):
    return (measured["cpu_seconds"] + measured.get("broker_cpu", 0)) / measured["receiver_cpu"]


def http(bench):
    """64 endpoints at nginx, plain HTTP, keep-alive, 1 KiB."""
    figures, deliveries = bench.figures, bench.size(1_280, 64_000)
    with contextlib.ExitStack() as stack:
        began = lambda part: stack.enter_context(contextlib.closing(part))
        nginx = began(parts.Nginx(bench.directory / "nginx", ENDPOINTS))
        both = [stack.enter_context(bench.engine("Kafka")), stack.enter_context(bench.engine("embedded"))]
        for engine in both:
            engine.declare(*((f"f{fan_out}", nginx.urls, fan_out) for fan_out in bench.fan_outs))
        for _ in range(bench.rounds):
            bare = parts.bare_loop(nginx, deliveries)
            figures.add("bare loop", per_cpu(bare), "/CPU-s")
            figures.add("bare loop: R", r(bare), "", R_OF_BARE, "above it the run is void")
            for engine in both:
                for fan_out in bench.fan_outs:
                    engine_at(bench, engine, nginx, deliveries, fan_out, per_cpu(bare))


def engine_at(bench, engine, receiver, deliveries, fan_out, bare):
    figures, tenants = bench.figures, ENDPOINTS // fan_out
    name = f"{engine.kind}, fan-out {fan_out}"
    engine.measure(receiver, deliveries // 20 // fan_out * fan_out, f"f{fan_out}", tenants, fan_out)  # connections
    measured = engine.measure(receiver, deliveries, f"f{fan_out}", tenants, fan_out)
    figures.add(name, per_cpu(measured), "/CPU-s")
    figures.add(name + ": of the bare loop", per_cpu(measured) / bare, "", OF_BARE[fan_out] if engine.broker else None)
    figures.add(name + ": R", r(measured), "", R[engine.kind] if fan_out == 8 else None)
    figures.add(name + ": in all", deliveries / measured["seconds"], "/s")
    figures.add(name + ": memory, at most", measured["peak"], "MiB")


def tls(bench):
    """The same over TLS 1.3, at our own sink; then with a new connection each time."""
    figures, deliveries, fan_out = bench.figures, bench.size(1_280, 64_000), 8
    dials = bench.size(320, 6_400)
    with contextlib.ExitStack() as stack:
        began = lambda part: stack.enter_context(contextlib.closing(part))
        sink = began(parts.Sink(authority=bench.authority, ports=ENDPOINTS))
        closing = began(parts.Sink("--close", authority=bench.authority, ports=ENDPOINTS))
        engine = stack.enter_context(bench.engine("Kafka"))
        engine.declare(("keep", sink.urls, fan_out), ("close", closing.urls, fan_out))
        engine.measure(sink, deliveries // 20, "keep", ENDPOINTS // fan_out, fan_out)
        for _ in range(bench.rounds):
            bare = per_cpu(parts.bare_loop(sink, deliveries, ca=bench.authority.ca))
            kept = per_cpu(engine.measure(sink, deliveries, "keep", ENDPOINTS // fan_out, fan_out))
            dialled = per_cpu(engine.measure(closing, dials, "close", ENDPOINTS // fan_out, fan_out))
            figures.add("bare loop", bare, "/CPU-s")
            figures.add("Kafka, fan-out 8", kept, "/CPU-s")
            figures.add("Kafka, fan-out 8: of the bare loop", kept / bare, "", Goal(least=0.9))
            figures.add("one new connection, chain verified", 1000 / dialled - 1000 / kept, "ms CPU", Goal(most=2))


def hosts(bench):
    """Endpoints on distinct addresses, beside a bare loop with as many multis as suit it best."""
    figures, deliveries, fan_out = bench.figures, bench.size(1_280, 64_000), 8
    counts = bench.size((64, 256), (64, 512, 2_048, 5_000))
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(contextlib.closing(parts.Sink()))
        engine = stack.enter_context(bench.engine("Kafka"))
        engine.register(*((f"n{count}", count, sink.port, fan_out) for count in counts))
        for _ in range(bench.rounds):
            ours = {count: hosts_round(bench, engine, sink, deliveries, count) for count in counts}
            figures.add(f"{counts[-1]} hosts of our own at {counts[0]}", ours[counts[-1]] / ours[counts[0]], "",
                        Goal(least=0.7))
        for count in counts:
            for line in ("bare loop", "Kafka"):
                figures.point("hosts", line, count, figures.median(f"{line}, {count} hosts"))


def hosts_round(bench, engine, sink, deliveries, count):
    figures, fan_out = bench.figures, 8
    urls = parts.urls_of(sink.port, count)
    tries = [("--urls-per-multi", many, "--in-flight", flight)
             for many in (50, 100, 250) for flight in (128, 512) if many < count or many == 50]
    bare = max(per_cpu(parts.bare_loop(sink, deliveries, urls, concurrency=max(1, 128 // count), more=words))
               for words in (tries if count > 64 else [()]))
    tenants = -(-count // fan_out)
    each = tenants * fan_out
    events = max(1, deliveries // each) * each
    engine.measure(sink, each, f"n{count}", tenants, fan_out)  # a connection each
    measured = engine.measure(sink, events, f"n{count}", tenants, fan_out)
    ours = per_cpu(measured)
    figures.add(f"bare loop, {count} hosts", bare, "/CPU-s")
    figures.add(f"Kafka, {count} hosts", ours, "/CPU-s")
    figures.add(f"Kafka, {count} hosts: of the bare loop", ours / bare, "", Goal(least=0.9) if count > 64 else None)
    figures.add(f"Kafka, {count} hosts: new connections a delivery", measured["accepted"] / events)
    return ours


def shards(bench):
    """One shard and two of one process at the same work: what a delivery costs must not rise with their number."""
    figures, deliveries, fan_out = bench.figures, bench.size(1_280, 64_000), 8
    tenants = ENDPOINTS // fan_out * 2  # on four partitions: enough for two shards to have the like
    with contextlib.ExitStack() as stack:
        nginx = stack.enter_context(contextlib.closing(parts.Nginx(bench.directory / "nginx-shards", ENDPOINTS)))
        engines = {number: stack.enter_context(bench.fresh("Kafka", f"shards = {number}\n")) for number in (1, 2)}
        for engine in engines.values():
            engine.declare(("s", nginx.urls + nginx.urls, fan_out))
            engine.measure(nginx, tenants * fan_out * 4, "s", tenants, fan_out)
        for _ in range(bench.rounds):
            cost = {}
            for number, engine in engines.items():
                measured = engine.measure(nginx, deliveries, "s", tenants, fan_out)
                cost[number] = 1e6 / per_cpu(measured)
                name = f"{number} shard" + "s" * (number > 1)
                figures.add(f"{name}: CPU of a delivery", cost[number], "µs")
                figures.add(f"{name}: in all", deliveries / measured["seconds"], "/s")
            figures.add("two shards: cost of that of one", cost[2] / cost[1], "", Goal(most=1.05))


ROWS = {"http": http, "tls": tls, "hosts": hosts, "shards": shards}
