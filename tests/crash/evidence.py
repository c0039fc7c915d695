"""What a failed run leaves behind: ledger, arrivals and faults as JSON lines beside the daemons' own logs."""
import json


def write(world, verdict):
    for name, rows in (("ledger", [one.row() for one in world.ledger.events.values()]),
                       ("arrivals", [one.row() for one in world.records.copy()]),
                       ("faults", [one.row() for one in world.faults]),
                       ("lives", [{"daemon": one.name, **vars(life)} for one in world.instances for life in one.lives])):
        with open(world.directory / f"{name}.jsonl", "w") as out:
            for row in rows:
                out.write(json.dumps(row, default=str) + "\n")
    (world.directory / "verdict.txt").write_text("\n".join(verdict) + "\n")
