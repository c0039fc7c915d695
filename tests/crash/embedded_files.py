"""Damage to files: of the view, which may be wiped, and of the embedded log, where only an unfinished tail may go."""
import pathlib
import struct

BLOCK, HEADER = 32768, 7  # RocksDB's log_format.h: crc(4) length(2) type(1) payload


def files_in(directory, pattern="*"):
    return sorted(path for path in pathlib.Path(directory).rglob(pattern) if path.is_file() and path.stat().st_size)


def flip(path, chance):
    """One bit of it, somewhere that is read. Returns where."""
    size = path.stat().st_size
    at = chance.randrange(size)
    # A table's footer has room for two block handles, of 20 bytes each at most; what they leave of it nobody reads.
    while path.suffix == ".sst" and size - 52 <= at < size - 12:
        at = chance.randrange(size)
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ (1 << chance.randrange(8))]))
    return at


def flip_any(view, chance, times):
    """In a view. Not in its mark: a directory without one might be somebody else's, and is refused by name."""
    flipped = []
    for _ in range(times):
        if files := [path for path in files_in(view) if path.name != "postrider.view"]:
            path = chance.choice(files)
            flipped.append(f"{path.name} at {flip(path, chance)}")
    return flipped


def newest_wal(log_directory):
    return max(files_in(log_directory / "db", "*.log"), key=lambda path: int(path.stem), default=None)


def tear(log_directory, chance):
    """Appends the beginning of a record to the newest write-ahead log, as a write that a crash cut short does."""
    wal = newest_wal(log_directory)
    if wal is None:
        return
    whole = wal.read_bytes()
    length = struct.unpack_from("<H", whole, 4)[0]
    room = BLOCK - len(whole) % BLOCK
    part = whole[:chance.randint(1, HEADER + length - 1)]
    if HEADER + length <= room:
        with open(wal, "ab") as file:
            file.write(part)
