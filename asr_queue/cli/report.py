"""`asr-queue report`."""

from pathlib import Path
from typing import Annotated, Final

import typer

from asr_queue.cli.batch_course import BatchCourse
from asr_queue.cli.ending import give_up
from asr_queue.cli.server import KeyOption, UrlOption, connected, required_server
from asr_queue.client import QueueClientError

_MARKDOWN: Final = ".md"
_SUFFIXES: Final = (".html", _MARKDOWN)


def report(
    batch: Annotated[str, typer.Argument(help="The batch_id that a submit answered.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html|FILE.md",
            help="What to write; plots of FILE.md go beside it. By default asr-queue-BATCH.html.",
            dir_okay=False,
        ),
    ] = None,
    url: UrlOption = None,
    api_key: KeyOption = None,
) -> None:
    """Write a page about a batch: waiting and run times, fill, speed, what failed and why; print its name."""
    try:
        from asr_queue.cli.plots import plots_of
        from asr_queue.cli.report_page import as_html, as_markdown
    except ImportError as error:
        give_up(f"{error.name} is not installed; run: pip install 'asr-queue[report]'")
    if out is not None and out.suffix.lower() not in _SUFFIXES:
        give_up(f"{out} is no name of a report: it ends with {' or '.join(_SUFFIXES)}")
    with connected(required_server(url, api_key)) as client:
        try:
            course = BatchCourse(client.status(batch))
        except QueueClientError as error:
            give_up(str(error))
    out = out or Path(f"asr-queue-{course.batch.batch_id}.html")
    plots = plots_of(course)
    try:
        if out.suffix.lower() == _MARKDOWN:
            files = {plot.name: f"{out.stem}-{plot.name}.svg" for plot in plots}
            for plot in plots:
                out.with_name(files[plot.name]).write_text(plot.file, encoding="utf-8")
            out.write_text(as_markdown(course, plots, files), encoding="utf-8")
        else:
            out.write_text(as_html(course, plots), encoding="utf-8")
    except OSError as error:
        give_up(f"cannot write {error.filename}: {error.strerror}")
    typer.echo(str(out))
