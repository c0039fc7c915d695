"""The single steps of micro.cc, at the size that is usual and as they grow."""
import collections
import json
import subprocess

import parts
from figures import Goal

WHAT = {
    "signer": "signature, HMAC-SHA256",
    "decoder_binary": "decoding, binary mode",
    "decoder_json": "decoding, structured JSON",
    "router": "routing an event",
    "watermark": "settling an offset",
    "due_lookup": "the next due delivery",
    "due_move": "taking it and parking it again",
    "fair_round": "a delivery through a shard over fakes",
}
OF = {"signer": "bytes", "decoder_binary": "bytes", "decoder_json": "bytes", "router": "endpoints",
      "watermark": "unsettled", "due_lookup": "parked", "due_move": "parked", "fair_round": "endpoints waiting"}
# Of one KiB events, and of what a busy instance holds.
USUAL = {"signer": 1000, "decoder_binary": 1000, "decoder_json": 1000, "watermark": 10_000}


def measure(most, *words):
    """name → {size: (µs, counters)}"""
    done = subprocess.run([parts.BENCH / "bench_micro", f"--max={most}", "--benchmark_format=json", *words], check=True,
                          capture_output=True, text=True)
    found = collections.defaultdict(dict)
    for one in json.loads(done.stdout)["benchmarks"]:
        name, size = one["name"].split("/")
        micros = 1e6 / one["items_per_second"] if "items_per_second" in one else one["cpu_time"] / 1000
        found[name][int(size)] = micros, one
    return found


def micro(bench):
    figures = bench.figures
    most = {"quick": 1_000, "normal": 1_000_000, "full": 10_000_000}[bench.form]
    found = measure(most, f"--benchmark_min_time={bench.size(0.01, 0.2)}")
    for name, sizes in found.items():
        usual = min(USUAL.get(name, 1_000_000), max(sizes))
        for size in sorted({usual, max(sizes)}):
            goal = Goal(most=20) if name == "router" and size == 1_000_000 else None
            figures.add(f"{WHAT[name]}, {size:,} {OF[name]}", sizes[size][0], "µs", goal)
        figures.point("steps", "at the usual size", name.replace("_", " "), sizes[usual][0])
        for size, (micros, _) in sizes.items():
            figures.point("growth", f"{name.replace('_', ' ')}, by {OF[name].split()[0]}", size, micros)
    registered = max(found["router"])
    each = found["router"][registered][1]["bytes_each"]
    figures.add(f"an endpoint in the registry, of {registered:,}", each, "bytes")
    due = found["due_lookup"]
    for size, (micros, _) in due.items():
        figures.point("parked", "the next due delivery", size, micros)
    few = min(10_000, max(due))
    figures.add(f"the next due delivery: {max(due):,} parked of {few:,}", due[max(due)][0] / due[few][0], "",
                Goal(most=1.2) if max(due) == 10_000_000 else None)


ROWS = {"micro": micro}
