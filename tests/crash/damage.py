"""The embedded log, damaged anywhere but in an unfinished tail: a start must refuse it by name. Each damage is done to
a copy of the directory of a log that is sound."""
import json
import shutil

import embedded_files
from kit import Daemon, run_tool, until

REFUSED = {"LOG_DAMAGED", "LOG_VERSION_UNKNOWN", "ENVIRONMENT_MISMATCH", "LOG_UNUSABLE", "LOG_UNREADABLE",
           "LOG_KEY_INVALID", "LOG_KEY_MISSING", "LOG_KEY_UNREADABLE", "LOG_KEY_PERMISSIONS"}


def cut_acknowledged(log, chance):
    """The end of the newest write-ahead log, which was acknowledged."""
    wal = embedded_files.newest_wal(log)
    if wal is None:
        return None
    size = wal.stat().st_size
    with open(wal, "r+b") as file:
        file.truncate(size - chance.randint(1, min(size, 2000)))
    return f"{wal.name} cut"


def flipped(pattern):
    def damage(log, chance):
        files = embedded_files.files_in(log / "db", pattern)
        if not files:
            return None
        path = chance.choice(files)
        return f"{path.name} at byte {embedded_files.flip(path, chance)} of {path.stat().st_size}"
    return damage


def removed(pattern):
    def damage(log, chance):
        files = embedded_files.files_in(log / "db", pattern)
        if not files:
            return None
        path = chance.choice(files)
        path.unlink()
        return f"{path.name} removed"
    return damage


KINDS = {"a bit of a write-ahead log": flipped("*.log"), "a bit of a table": flipped("*.sst"),
         "a bit of the manifest": flipped("MANIFEST-*"), "a table removed": removed("*.sst"),
         "acknowledged bytes cut off": cut_acknowledged}


def try_one(world, daemon, damage, chance, number):
    """Returns (what was damaged, the code it was refused with or None when it started all the same)."""
    place = world.directory / f"damaged-{number}"
    place.mkdir()
    shutil.copytree(world.directory / "sound", place / "log")
    what = damage(place / "log", chance)
    if what is None:
        return None, None
    copy = Daemon(place, world.authority, environment=world.environment)
    shutil.copy(daemon.key, copy.key)
    copy.start(ready=False)

    def ends():
        if copy.process.poll() is not None:
            return True
        try:
            return copy.get("/readyz")[0] == 200
        except OSError:
            return False
    until(ends, 60, f"a start on a log with {what}")
    code = None
    if copy.process.poll() is None:
        copy.process.kill()
        copy.process.wait()
    elif copy.process.returncode == 2:
        code = json.loads(copy.errors.read_text().splitlines()[-1]).get("code")
    else:
        code = f"exit {copy.process.returncode}"
    shutil.rmtree(place / "log")
    return what, code


def run(world, chance, rounds):
    """The log's only daemon is dead. Returns sentences about what was not refused, and how many damages were tried."""
    found, tried = [], 0
    daemon = world.instances[0]
    _, code = try_one(world, daemon, lambda log, chance: "no damage", chance, "not")
    if code is not None:
        found.append(f"the embedded log: a sound copy is refused with {code}")
    for number in range(rounds):
        name = list(KINDS)[number % len(KINDS)]
        what, code = try_one(world, daemon, KINDS[name], chance, number)
        if what is None:
            continue
        tried += 1
        if code not in REFUSED:
            found.append(f"embedded log damaged ({name}: {what}): {'started all the same' if code is None else code}")
    return found, tried
