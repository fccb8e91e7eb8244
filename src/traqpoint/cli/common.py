"""What several verbs share: options of the extractor, the progress bar, the report."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from traqpoint.inference.config import ExtractorConfig

if TYPE_CHECKING:
    from traqpoint.inference.extractor import Extractor
    from traqpoint.inference.pipeline import Report


@dataclass(frozen=True, kw_only=True)
class ExtractorOptions(ExtractorConfig):
    """The ExtractorConfig as options of a verb."""

    def extractor(self) -> Extractor:
        from traqpoint.inference.extractor import Extractor

        options = {field.name: getattr(self, field.name) for field in fields(ExtractorConfig)}
        return Extractor(options.pop("weights"), **options)


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar on stderr, moved by calling it with (done, all); silent where stderr is not a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def print_report(report: Report, what: str) -> int:
    """One line in all and one per failure; exit code 1 if anything failed."""
    for line in report.failed:
        print(f"traqpoint: error: {line}", file=sys.stderr)
    failed = f", {len(report.failed)} failed" if report.failed else ""
    print(f"{report.out}: {len(report.done)} {what} done, {len(report.skipped)} there already{failed}")
    return 1 if report.failed else 0
