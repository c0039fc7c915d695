#!/usr/bin/env python3
"""Names every #include that runs outward: core <- ports <- wire, flow; adapters see core, ports, wire and their one
library; only main and engine/daemon name adapters (DESIGN 12). Exit status 1 when there is one."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)

# room -> rooms that it may include
SEES = {
    "core": set(),
    "ports": {"core"},
    "wire": {"core"},
    "flow": {"core", "ports", "wire"},
    "kafka": {"core", "ports", "wire"},
    "embedded": {"core", "ports", "wire"},
    "curl": {"core", "ports"},
    "rocks": {"core", "ports"},
    "crypto": {"core", "ports", "wire"},
    "vault": {"core", "ports"},
    "pkcs11": {"core", "ports"},
    "oidc": {"core", "ports"},
    "telemetry": {"core", "ports"},
    "config": {"core"},
    "jsonschema": {"core", "ports"},
    "operations": {"core", "ports", "wire"},
    "api": {"core", "ports", "wire", "operations"},
}
EVERY_ROOM = set(SEES)
DAEMON = EVERY_ROOM | {"daemon"}

# library (a prefix of an include) -> where it may stand
LIBRARIES = {
    "librdkafka/": {"engine/kafka", "producers", "ops"},
    "rocksdb/": {"engine/rocks", "engine/embedded"},
    "curl/": {"engine/curl", "engine/vault", "engine/oidc", "producers", "ops"},
    "p11-kit/": {"engine/pkcs11"},
    "cjose/": {"engine/oidc"},
    "ares": {"engine/curl"},
    "event2/": {"engine/api", "consumers"},
    "spdlog/": {"engine/telemetry"},
    "prometheus/": {"engine/telemetry"},
    "google/protobuf/": {"engine/wire"},
    "schemas/": {"engine/wire"},
    "toml.hpp": {"engine/config", "ops"},
    "CLI/": {"engine/main.cc", "ops", "producers", "consumers"},
    "valijson/": {"engine/jsonschema"},
    "re2/": {"engine/jsonschema"},
    "nlohmann/": {"engine/wire", "engine/oidc", "engine/api", "engine/jsonschema", "ops", "producers", "consumers"},
    "openssl/": {"engine/core", "engine/crypto", "engine/curl", "engine/api", "consumers", "ops"},
    "absl/": {"engine/flow"},
}


def room_of(path):
    parts = path.split("/")
    if parts[0] != "engine":
        return parts[0]
    return "daemon" if path == "engine/main.cc" or parts[1] == "daemon" else parts[1]


def allowed_rooms(room):
    if room == "daemon":
        return DAEMON
    if room in SEES:
        return SEES[room] | {room}
    if room == "consumers":
        return set()
    if room == "producers":
        return {"core", "wire"}
    return DAEMON  # ops, benchmarks: through the log and the API


def faults(path, text):
    room = room_of(path)
    for quote, name in INCLUDE.findall(text):
        if quote == '"' and name.startswith("engine/"):
            seen = room_of(name)
            if seen not in allowed_rooms(room):
                yield f"{path}: {room} must not see {name}"
        elif room == "consumers" and quote == '"' and name.split("/")[0] not in ("consumers",) and "/" in name:
            yield f"{path}: consumers see nothing of ours, not {name}"
        for library, places in LIBRARIES.items():
            if name.startswith(library) and not any(path.startswith(place) for place in places):
                yield f"{path}: {name} belongs in {', '.join(sorted(places))}"


def main():
    tracked = subprocess.run(["git", "ls-files", "engine", "producers", "consumers", "ops"], cwd=ROOT, text=True,
                             capture_output=True, check=True).stdout.split("\n")
    found = []
    count = 0
    for path in tracked:
        if path.endswith((".cc", ".h")):
            count += 1
            found += faults(path, (ROOT / path).read_text())
    print("\n".join(found) if found else f"{count} checks of includes: none runs outward")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
