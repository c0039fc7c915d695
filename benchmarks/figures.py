"""Figures beside their goals: samples are collected under a name, and the table shows their median and spread."""
import dataclasses
import json
import os
import pathlib
import platform
import statistics


@dataclasses.dataclass
class Goal:
    """What a median is held against. `not_done`: on the wrong side of it the goal is not just missed."""
    most: float | None = None
    least: float | None = None
    not_done: float | None = None

    def __str__(self):
        bound = f"≤ {self.most:g}" if self.most is not None else f"≥ {self.least:g}"
        return bound + (f" ({self.not_done:g})" if self.not_done is not None else "")

    def verdict(self, value):
        if self.most is not None:
            return "met" if value <= self.most else "MISSED"
        if value >= self.least:
            return "met"
        return "NOT DONE" if self.not_done is not None and value < self.not_done else "MISSED"


@dataclasses.dataclass
class Row:
    group: str
    name: str
    unit: str
    goal: Goal | None
    samples: list
    note: str = ""

    def median(self):
        return statistics.median(self.samples)

    def verdict(self):
        return self.goal.verdict(self.median()) if self.goal else ""


def short(value):
    if value == 0 or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"


class Figures:
    def __init__(self, form):
        self.form, self.group, self.rows, self.plots = form, "", {}, {}

    def add(self, name, value, unit="", goal=None, note=""):
        """One sample of a row; the first call of a name says the rest."""
        row = self.rows.setdefault((self.group, name), Row(self.group, name, unit, goal, [], note))
        row.samples.append(value)
        print(f"  {self.group}: {name}: {short(value)} {unit}", flush=True)

    def judge(self, name, goal):
        """Sets a goal that hangs on another figure of the run."""
        self.rows[self.group, name].goal = goal

    def median(self, name):
        return self.rows[self.group, name].median()

    def point(self, plot, line, x, y):
        self.plots.setdefault(plot, {}).setdefault(line, []).append((x, y))

    def verdict(self, row):
        if self.form == "quick" or not row.goal:
            return ""
        return row.verdict() + (f": {row.note}" if row.note and row.verdict() != "met" else "")

    def print(self):
        print(f"\n{'what':62} {'goal':>11} {'median':>8} {'least – most':>17} {'unit':10}")
        group = None
        for row in self.rows.values():
            if row.group != group:
                group = row.group
                print(f"{group}")
            spread = f"{short(min(row.samples))} – {short(max(row.samples))}" if len(row.samples) > 1 else ""
            print(f"  {row.name:60} {str(row.goal or ''):>11} {short(row.median()):>8} {spread:>17} {row.unit:10} "
                  f"{self.verdict(row)}".rstrip())
        print(f"\n{machine()['summary']}")
        if self.form == "quick":
            print("A quick run shows that the benchmarks work. Its figures mean nothing.")

    def write(self, directory):
        rows = [{"group": row.group, "name": row.name, "unit": row.unit, "goal": str(row.goal or ""), "note": row.note,
                 "median": row.median(), "least": min(row.samples), "most": max(row.samples), "samples": row.samples,
                 "verdict": self.verdict(row)} for row in self.rows.values()]
        whole = {"form": self.form, "machine": machine(), "rows": rows, "plots": self.plots}
        (directory / "results.json").write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n")


def machine():
    model = next((line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    kernel = platform.release()
    return {"cpu": model, "cores": cores, "memory_gib": round(memory, 1), "load": load, "kernel": kernel,
            "summary": f"{cores} cores of {model}, {memory:.0f} GiB, Linux {kernel}; load {load:.1f} at the end"}
