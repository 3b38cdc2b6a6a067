"""A batch's course as plots: SVG that takes its text colour from the page around it. Needs matplotlib."""

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

from asr_queue.cli.amounts import clock, span
from asr_queue.cli.batch_course import BatchCourse, Bin, Course, Spread

_INK: Final = "#7f7f7e"
"""Stands for the page's own colour; and is a grey that is read on white and on black, where no page gives one."""
_SERIES: Final = "#3987c9"
_FAILED: Final = "#d8622b"
"""Told apart from the other by people who see no red or no green as well; and by its form."""
_SIZE_IN: Final = (6.4, 3.0)
_HEADROOM: Final = 1.08
"""Above the highest value."""
_LEAST_S: Final = 0.001
_AS_CLOCK_FROM_S: Final = 180.0
_CLOCK_STEPS_S: Final = tuple(60 * minutes for minutes in (1, 2, 5, 10, 15, 30, 60, 120, 240, 480, 1440))
_MOST_TICKS: Final = 6
_STYLE: Final = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9.0,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": _INK,
    "grid.alpha": 0.25,
}


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawing, its heading, and what it shows in words, for those who do not see it."""

    name: str
    """Of its file, without a suffix."""
    title: str
    alt: str
    svg: str
    """An `<svg>` element; its text and axes have the colour of the text around it."""

    @property
    def file(self) -> str:
        """The same as a document of its own."""
        return '<?xml version="1.0" encoding="utf-8"?>\n' + self.svg.replace("currentColor", _INK)


def plots_of(course: BatchCourse) -> list[Plot]:
    """Return all plots for which the batch tells enough."""
    items = course.items
    if not items:
        return []
    found = [
        _plot(
            "waiting",
            "Waiting time",
            f"From the submit to each item's start. {_words('waited', course.waits)}",
            lambda axes: _points(axes, items, [item.started_s for item in items], "waited"),
        ),
        _plot(
            "run-time",
            "Run time",
            f"From each item's start to its end. {_words('ran', course.runs)}",
            lambda axes: _points(axes, items, [item.run_s for item in items], "ran"),
        ),
    ]
    if course.fill is not None:
        sizes = [item.micro_batch for item in items if item.micro_batch]
        found.append(
            _plot(
                "fill",
                "Micro-batch fill",
                f"Most chunks that shared a pass with an item: {course.fill:.1f} on average, at most {max(sizes)}.",
                lambda axes: _sizes(axes, sizes),
            )
        )
    if course.rtfx is not None:
        found.append(
            _plot(
                "rtfx",
                "Real-time factor",
                f"Seconds of audio for each second of the device, as items ended: {course.rtfx:.1f} in total.",
                lambda axes: _line(axes, course.bins),
            )
        )
    if course.throughput is not None:
        found.append(
            _plot(
                "throughput",
                "Throughput",
                f"Seconds of audio that ended in a second: {course.throughput:.1f} from first start to last end.",
                lambda axes: _steps(axes, course.bins),
            )
        )
    return found


def _plot(name: str, title: str, alt: str, draw: Callable[[Axes], None]) -> Plot:
    # The salt makes ids of each plot's own: several share a page.
    with style.context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=_SIZE_IN, layout="constrained")
        axes = figure.add_subplot()
        draw(axes)
        out = io.StringIO()
        # What matplotlib notes of itself holds the time, and addresses.
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(out, format="svg", transparent=True, metadata=nothing)
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :].replace(_INK, "currentColor")
    svg = re.sub(r'(<svg [^>]*?)width="[^"]*" height="[^"]*"', r"\1", svg, count=1)
    # Widths of text were reckoned with another font: any sans-serif one is as good.
    svg = re.sub(r"font-family: [^;\"]*", "font-family: sans-serif", svg)
    return Plot(name, title, alt, svg.replace("<svg ", f'<svg role="img" aria-label="{escape(f"{title}. {alt}")}" ', 1))


def _points(axes: Axes, items: Sequence[Course], seconds: Sequence[float], what: str) -> None:
    looks = ((True, "done", _SERIES, "o", 14), (False, "failed", _FAILED, "x", 24))
    for is_done, label, colour, marker, size in looks:
        x = [item.number for item in items if item.is_done is is_done]
        y = [s for item, s in zip(items, seconds, strict=True) if item.is_done is is_done]
        if x:
            axes.scatter(x, y, s=size, color=colour, marker=marker, linewidths=1.2, label=label, clip_on=False)
    if not all(item.is_done for item in items):
        axes.legend(frameon=False)
    axes.set_xlabel("item")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(0, _HEADROOM * max(*seconds, _LEAST_S))
    _as_time(axes.yaxis, max(seconds), what)


def _sizes(axes: Axes, sizes: Sequence[int]) -> None:
    most = max(sizes)
    axes.bar(range(1, most + 1), [sizes.count(size) for size in range(1, most + 1)], color=_SERIES)
    axes.set_xlim(0.4, most + 0.6)
    axes.set_xlabel("chunks in the pass")
    axes.set_ylabel("items")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))


def _line(axes: Axes, spans: Sequence[Bin]) -> None:
    """Draw the real-time factor, over spans in which nothing ended too."""
    told = [(span.from_s + span.width_s / 2, span.rtfx) for span in spans if span.rtfx]
    x, y = [at for at, _ in told], [rtfx for _, rtfx in told]
    axes.plot(x, y, color=_SERIES, linewidth=1.5, marker="o", markersize=3.5)
    axes.set_xlim(spans[0].from_s, spans[-1].to_s)
    axes.set_ylim(0, _HEADROOM * max(y))
    axes.set_ylabel("audio s / device s")
    _as_time(axes.xaxis, spans[-1].to_s, "since the submit")


def _steps(axes: Axes, spans: Sequence[Bin]) -> None:
    """Draw the throughput; the area is the audio."""
    edges = [spans[0].from_s, *(span.to_s for span in spans)]
    axes.stairs([span.throughput for span in spans], edges, color=_SERIES, fill=True)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylabel("audio s/s")
    _as_time(axes.xaxis, edges[-1], "since the submit")


def _as_time(axis: Axis, longest_s: float, what: str) -> None:
    """Label an axis in seconds, or in hours, minutes and seconds where these are many."""
    is_long = longest_s >= _AS_CLOCK_FROM_S
    axis.set_label_text(f"{what} (h:mm:ss)" if is_long else f"{what} (s)")
    if is_long:
        step_s = next((step for step in _CLOCK_STEPS_S if longest_s / step <= _MOST_TICKS), _CLOCK_STEPS_S[-1])
        axis.set_major_locator(MultipleLocator(step_s))
        axis.set_major_formatter(FuncFormatter(lambda seconds, _: clock(max(0.0, seconds))))


def _words(did: str, spread: Spread | None) -> str:
    assert spread is not None, "there are items"
    return (
        f"Half {did} at most {span(spread.median)}, 95% at most {span(spread.p95)}, the longest {span(spread.longest)}."
    )
