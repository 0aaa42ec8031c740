"""Lines in small panels, as SVG that is read on white and on black."""

import math
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 300, 190
LEFT, RIGHT, TOP, BOTTOM = 48, 14, 24, 36
LEGEND = 22
X_NAMES_AT_MOST = 6

STYLE = """
text { font: 11px system-ui, sans-serif; fill: #656d76; stroke: none }
.title { font-weight: 600 }
.axis { stroke: #8b949e; fill: none }
.grid { stroke: #8b949e; stroke-opacity: .3; fill: none }
.c0 { stroke: #2f81f7; fill: #2f81f7 }
.c1 { stroke: #d97706; fill: #d97706 }
.c2 { stroke: #2da44e; fill: #2da44e }
polyline { stroke-width: 1.8; fill: none !important }
circle { stroke: none }
@media (prefers-color-scheme: dark) { text { fill: #9da7b1 } }
"""


@dataclass
class Panel:
    """Some lines over the same values of x; a line is a name and its values, none where there is none."""

    title: str
    x_title: str
    xs: list
    x_name: callable
    lines: list
    log_x: bool
    log_y: bool

    def across(self, value):
        return LEFT + (WIDTH - LEFT - RIGHT) * part(value, self.xs[0], self.xs[-1], self.log_x)

    def up(self, value):
        least, most = self.y_range()
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * part(value, least, most, self.log_y)

    def values(self):
        return [y for _, ys in self.lines for y in ys if y is not None]

    def y_range(self):
        ticks = self.y_ticks()
        return ticks[0], ticks[-1]

    def y_ticks(self):
        values = self.values()
        if self.log_y:
            least, most = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
            return [10.0**power for power in range(least, max(most, least + 1) + 1)]
        step = round_step(max(values) / 4)
        return [step * n for n in range(math.ceil(max(values) / step) + 1)]

    def svg(self):
        parts = [f'<text class="title" x="{LEFT}" y="14">{escape(self.title)}</text>']
        right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
        for y in self.y_ticks():
            at = self.up(y)
            parts.append(f'<path class="grid" d="M{LEFT} {at:.1f}H{right}"/>')
            parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{number(y)}</text>')
        every = math.ceil(len(self.xs) / X_NAMES_AT_MOST)
        for x in self.xs[::every]:
            at = self.across(x)
            parts.append(f'<path class="axis" d="M{at:.1f} {bottom}v4"/>')
            parts.append(f'<text x="{at:.1f}" y="{bottom + 16}" text-anchor="middle">{escape(self.x_name(x))}</text>')
        parts.append(f'<path class="axis" d="M{LEFT} {TOP}V{bottom}H{right}"/>')
        middle = (LEFT + right) / 2
        parts.append(f'<text x="{middle}" y="{HEIGHT - 5}" text-anchor="middle">{escape(self.x_title)}</text>')
        for colour, (_, ys) in enumerate(self.lines):
            points = [(self.across(x), self.up(y)) for x, y in zip(self.xs, ys) if y is not None]
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            parts.append(f'<polyline class="c{colour}" points="{path}"/>')
            parts += [f'<circle class="c{colour}" cx="{x:.1f}" cy="{y:.1f}" r="2.4"/>' for x, y in points]
        return "\n".join(parts)


def part(value, least, most, logarithmic):
    """Where a value lies between two others, from 0 to 1."""
    if logarithmic:
        value, least, most = math.log(value), math.log(least), math.log(most)
    return (value - least) / (most - least) if most > least else 0.5


def round_step(least):
    """1, 2 or 5 with zeros, not below `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * n for n in (1, 2, 5, 10) if power * n >= least)


def number(value):
    if value >= 1000 or value >= 1 and value == int(value):
        return f"{value:.0f}"
    return f"{value:g}"


def legend(lines):
    parts, at = [], LEFT
    for colour, (name, _) in enumerate(lines):
        parts.append(f'<path class="c{colour}" stroke-width="3" d="M{at} 10h12"/>')
        parts.append(f'<text x="{at + 16}" y="14">{escape(name)}</text>')
        at += 26 + 5.8 * len(name)
    return "\n".join(parts)


def drawing(columns):
    """Columns of panels; those of a column have the same lines, named once above."""
    rows = max(len(column) for column in columns)
    width, height = WIDTH * len(columns), LEGEND + HEIGHT * rows
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        f"<style>{STYLE}</style>",
    ]
    for column, panels in enumerate(columns):
        parts.append(f'<g transform="translate({column * WIDTH} 0)">\n{legend(panels[0].lines)}\n</g>')
        for row, panel in enumerate(panels):
            parts.append(f'<g transform="translate({column * WIDTH} {LEGEND + row * HEIGHT})">\n{panel.svg()}\n</g>')
    return "\n".join([*parts, "</svg>"]) + "\n"
