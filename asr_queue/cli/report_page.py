"""A batch's report as a page: HTML that holds everything, or Markdown beside its plots. Labels and names are data."""

import re
from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from asr_queue.cli.amounts import clock, span
from asr_queue.cli.batch_course import BatchCourse
from asr_queue.cli.plots import Plot
from asr_queue.cli.printable import printable
from asr_queue.wire.api import ItemAnswer

_NAMED_ITEMS: Final = 5
"""Of each failure."""
_MARKDOWN: Final = re.compile(r"[\\`*_{}\[\]()#|~<>&@]|:(?=//)|(?<=www)\.")

_PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark;
  --ink: #24292f; --soft: #59636e; --line: #d1d9e0; --page: #ffffff; --card: #f6f8fa; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #e6e8eb; --soft: #9aa4af; --line: #3b434c; --page: #14171b; --card: #1c2127; }}
}}
* {{ box-sizing: border-box; }}
body {{ margin: 0 auto; max-width: 72rem; padding: 2rem 1.25rem 4rem; background: var(--page); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }}
h1 {{ font-size: 1.6rem; line-height: 1.25; margin: 0; }}
h2 {{ font-size: 1.15rem; margin: 2.5rem 0 0.75rem; }}
p {{ margin: 0.25rem 0; color: var(--soft); }}
dl {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: 0.75rem; margin: 1.5rem 0 0; }}
dl div {{ background: var(--card); border: 1px solid var(--line); border-radius: 0.5rem; padding: 0.6rem 0.9rem; }}
dt {{ color: var(--soft); font-size: 0.85rem; }}
dd {{ margin: 0; font-size: 1.25rem; font-variant-numeric: tabular-nums; }}
.plots {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1.25rem; }}
figure {{ margin: 0; border: 1px solid var(--line); border-radius: 0.5rem; padding: 1rem; min-width: 0; }}
figure svg {{ display: block; width: 100%; height: auto; color: var(--soft); }}
figcaption strong {{ display: block; }}
figcaption {{ margin-bottom: 0.5rem; font-size: 0.9rem; color: var(--soft); }}
figcaption strong {{ font-size: 1rem; color: var(--ink); }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ text-align: left; vertical-align: top; padding: 0.4rem 0.75rem 0.4rem 0;
  border-bottom: 1px solid var(--line); }}
th {{ color: var(--soft); font-weight: 500; }}
td.number {{ text-align: right; padding-right: 1.5rem; font-variant-numeric: tabular-nums; }}
th, code {{ white-space: nowrap; }}
td:last-child {{ min-width: 12rem; }}
code {{ font-size: 0.9em; }}
.wide {{ overflow-x: auto; }}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
<p>{about}</p>
<dl>
{totals}
</dl>
{plots}
{failures}
</main>
</body>
</html>
"""


def as_html(course: BatchCourse, plots: Sequence[Plot]) -> str:
    """Return one document that needs nothing else: no script, no other file, light or dark as its reader has it."""
    totals = "\n".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in _totals(course))
    figures = "\n".join(
        f"<figure><figcaption><strong>{plot.title}</strong> {escape(plot.alt)}</figcaption>{plot.svg}</figure>"
        for plot in plots
    )
    rows = "\n".join(
        f'<tr><td><code>{_html(code)}</code></td><td class="number">{count:,}</td>'
        f"<td>{_html(items[0].error or '')}</td><td>{_html(_names(items))}</td></tr>"
        for code, count, items in course.failures
    )
    table = (
        f'<h2>Failures</h2>\n<div class="wide">\n<table>\n<thead><tr><th>code</th><th>items</th>'
        f"<th>why, of the first</th><th>which</th></tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>\n</div>"
    )
    return _PAGE.format(
        title=_html(_title(course)),
        about=" · ".join(_html(part) for part in _about(course)),
        totals=totals,
        plots=f'<h2>Course</h2>\n<div class="plots">\n{figures}\n</div>' if plots else _NO_PLOTS_HTML,
        failures=table if course.failures else "",
    )


def as_markdown(course: BatchCourse, plots: Sequence[Plot], file_of: dict[str, str]) -> str:
    """Return a document that shows the plots from files beside it.

    Args:
        file_of: the file of each plot by its name, as the document is to name it.
    """
    lines = [f"# {_markdown(_title(course))}", "", " · ".join(_markdown(part) for part in _about(course)), ""]
    lines += ["| | |", "|---|---:|", *(f"| {name} | {value} |" for name, value in _totals(course)), ""]
    for plot in plots:
        lines += [f"## {plot.title}", "", f"![{_markdown(plot.alt)}]({file_of[plot.name]})", "", plot.alt, ""]
    if not plots:
        lines += [_NO_PLOTS, ""]
    if course.failures:
        lines += ["## Failures", "", "| code | items | why, of the first | which |", "|---|---:|---|---|"]
        lines += [
            f"| {_markdown(code)} | {count:,} | {_markdown(items[0].error or '')} | {_markdown(_names(items))} |"
            for code, count, items in course.failures
        ]
        lines.append("")
    return "\n".join(lines)


_NO_PLOTS: Final = "There is nothing to plot yet: no item has ended, or the server tells no times."
_NO_PLOTS_HTML: Final = f"<p>{_NO_PLOTS}</p>"


def _title(course: BatchCourse) -> str:
    return course.batch.label or f"Batch {course.batch.batch_id}"


def _about(course: BatchCourse) -> Iterator[str]:
    batch = course.batch
    yield f"Batch {batch.batch_id}"
    yield str(batch.status)
    yield f"priority {batch.priority}"
    if batch.created_at:
        yield f"submitted {batch.created_at}"
    if batch.finished_at:
        yield f"finished {batch.finished_at}"
    left = batch.total - batch.completed - batch.failed
    if left:
        yield f"{left:,} of {batch.total:,} items have not ended yet: this is how far it has come"


def _totals(course: BatchCourse) -> Iterator[tuple[str, str]]:
    """Yield names and values, none of which is anybody's text."""
    batch = course.batch
    yield "items", f"{batch.total:,}"
    yield "done", f"{batch.completed:,}"
    yield "failed", f"{batch.failed:,}"
    if course.audio_s:
        yield "audio", clock(course.audio_s)
    if course.took_s is not None:
        yield "wall time", span(course.took_s)
    if course.throughput is not None:
        yield "throughput", f"{course.throughput:.1f} audio s/s"
    if batch.device_s:
        yield "device", f"{batch.device_s:,.1f} s"
    if course.rtfx is not None:
        yield "RTFx", f"{course.rtfx:.1f}"
    if batch.cost_usd is not None:
        yield "cost", f"{batch.cost_usd:,.4f} USD"
    if course.fill is not None:
        yield "micro-batch fill", f"{course.fill:.1f} chunks"
    for name, spread in (("waited", course.waits), ("ran", course.runs)):
        if spread is not None:
            yield f"{name} (median, 95%)", f"{span(spread.median)}, {span(spread.p95)}"


def _names(items: Sequence[ItemAnswer]) -> str:
    named = ", ".join(item.custom_id or item.item_id for item in items[:_NAMED_ITEMS])
    more = len(items) - _NAMED_ITEMS
    return f"{named} and {more:,} more" if more > 0 else named


def _html(text: str) -> str:
    return escape(printable(text))


def _markdown(text: str) -> str:
    """Return a text that Markdown shows as it is: no link, no table cell's end, no HTML."""
    return _MARKDOWN.sub(lambda found: f"&#{ord(found[0])};", printable(text))
