"""Plots as plain SVG: lines over a numeric axis, or bars. No library: what a line is, a reader of the file sees."""
import html
import math
import textwrap

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 190, 48, 56
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999")


class Axis:
    """From values to pixels, logarithmic where the values span much."""

    def __init__(self, values, begin, end, from_zero=False, much=50):
        self.begin, self.end = begin, end
        low, high = min(values), max(values)
        self.log = low > 0 and high / low > much
        if not self.log:
            low = min(low, 0) if from_zero else low
            high = high if high > low else low + 1
        self.low, self.high = low, high if high > low else low * 10

    def scaled(self, value):
        if self.log:
            return (math.log10(value) - math.log10(self.low)) / (math.log10(self.high) - math.log10(self.low))
        return (value - self.low) / (self.high - self.low)

    def at(self, value):
        return self.begin + self.scaled(value) * (self.end - self.begin)

    def ticks(self):
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            return [10.0**power for power in powers if self.low <= 10.0**power <= self.high] or [self.low, self.high]
        step = 10 ** math.floor(math.log10(self.high - self.low))
        step = next(step * part for part in (0.2, 0.5, 1, 2) if (self.high - self.low) / (step * part) <= 8)
        first = math.ceil(self.low / step)
        return [step * i for i in range(first, math.floor(self.high / step + 1e-9) + 1)]


def number(value):
    if value and (abs(value) >= 1e5 or abs(value) < 1e-3):
        power = math.floor(math.log10(abs(value)))
        front = value / 10**power
        return ("" if abs(front - 1) < 1e-9 else f"{front:g}·") + "10" + str(power).translate(
            str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{value:.6g}"


def text(x, y, words, anchor="start", more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{html.escape(words)}</text>'


def frame(title, x_name, y_name, body):
    middle = TOP + (HEIGHT - TOP - BOTTOM) / 2
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
             'font-size="12">',
             f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
             text(LEFT, 26, title, more=' font-size="16"'),
             text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, x_name, "middle"),
             text(18, middle, y_name, "middle", f' transform="rotate(-90 18 {middle:.1f})"'), *body, "</svg>"]
    return "\n".join(parts) + "\n"


def grid(y_axis):
    for tick in y_axis.ticks():
        y = y_axis.at(tick)
        yield f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>'
        yield text(LEFT - 6, y + 4, number(tick), "end")


def lines(title, x_name, y_name, series):
    """series: name → [(x, y), …]."""
    every = [point for points in series.values() for point in points]
    x_axis = Axis([x for x, _ in every], LEFT, WIDTH - RIGHT)
    y_axis = Axis([y for _, y in every], HEIGHT - BOTTOM, TOP, from_zero=True)
    body = list(grid(y_axis))
    for tick in x_axis.ticks():
        body.append(f'<path d="M{x_axis.at(tick):.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#eee"/>')
        body.append(text(x_axis.at(tick), HEIGHT - BOTTOM + 18, number(tick), "middle"))
    for i, (name, points) in enumerate(series.items()):
        colour = COLOURS[i % len(COLOURS)]
        places = [(x_axis.at(x), y_axis.at(y)) for x, y in sorted(points)]
        body.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="'
                    + " ".join(f"{x:.1f},{y:.1f}" for x, y in places) + '"/>')
        body += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        body.append(f'<rect x="{WIDTH - RIGHT + 14}" y="{TOP + 20 * i}" width="12" height="12" fill="{colour}"/>')
        body.append(text(WIDTH - RIGHT + 32, TOP + 20 * i + 10, name))
    return frame(title, x_name, y_name, body)


def bars(title, y_name, series):
    """series: name → [(label, y), …]; a group of bars a label."""
    labels = list(dict.fromkeys(label for points in series.values() for label, _ in points))
    values = [y for points in series.values() for _, y in points]
    spans_much = min(values) > 0 and max(values) / min(values) > 200
    y_axis = Axis([min(values) / 2 if spans_much else 0, *values], HEIGHT - BOTTOM, TOP, much=200)
    room = (WIDTH - RIGHT - LEFT) / len(labels)
    wide = room * 0.8 / len(series)
    body = list(grid(y_axis))
    for i, (name, points) in enumerate(series.items()):
        colour = COLOURS[i % len(COLOURS)]
        for label, y in points:
            x = LEFT + room * (labels.index(label) + 0.1) + wide * i
            body.append(f'<rect x="{x:.1f}" y="{y_axis.at(y):.1f}" width="{wide:.1f}" '
                        f'height="{HEIGHT - BOTTOM - y_axis.at(y):.1f}" fill="{colour}"/>')
            body.append(text(x + wide / 2, y_axis.at(y) - 3, f"{y:.3g}" if y < 1000 else f"{y:,.0f}", "middle",
                             ' font-size="10"'))
        body.append(f'<rect x="{WIDTH - RIGHT + 14}" y="{TOP + 20 * i}" width="12" height="12" fill="{colour}"/>')
        body.append(text(WIDTH - RIGHT + 32, TOP + 20 * i + 10, name))
    for i, label in enumerate(labels):
        for line, words in enumerate(textwrap.wrap(label, max(8, int(room / 6.5)))):
            place = LEFT + room * (i + 0.5), HEIGHT - BOTTOM + 16 + 13 * line
            body.append(text(*place, words, "middle", ' font-size="11"'))
    return frame(title, "", y_name, body)


# name of a plot in Figures → its file, and how it is drawn
PLOTS = {
    "hosts": lambda series: lines("Throughput by hosts", "endpoints, each on an address of its own",
                                  "deliveries per CPU-second", series),
    "latency": lambda series: bars("Latency of healthy endpoints", "ms, from the intended send time", series),
    "steps": lambda series: bars("Cost per step", "µs", series),
    "growth": lambda series: lines("Cost per step by size", "size: bytes of an event, or entries held", "µs", series),
    "parked": lambda series: lines("Cost by parked backlog", "deliveries parked", "µs", series),
}


def write(directory, plots):
    for name, series in plots.items():
        if series:
            (directory / f"{name}.svg").write_text(PLOTS[name](series))
