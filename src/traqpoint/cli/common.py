"""What several verbs share: options of the extractor, the progress bar, the report."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

from traqpoint.inference.config import ExtractorConfig
from traqpoint.progress import Progress

if TYPE_CHECKING:
    from traqpoint.evaluation.result import Result
    from traqpoint.inference.extractor import Extractor
    from traqpoint.inference.pipeline import Outcome

Config = TypeVar("Config")


def part(options: Any, kind: type[Config]) -> Config:
    """The configuration `kind` that a verb has inherited the fields of, checked."""
    return kind(**{field.name: getattr(options, field.name) for field in fields(kind)})  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class ExtractorOptions(ExtractorConfig):
    """The ExtractorConfig as options of a verb."""

    def extractor(self) -> Extractor:
        """What the options describe."""

        from traqpoint.inference.extractor import Extractor

        return Extractor(**asdict(part(self, ExtractorConfig)))


@contextmanager
def progress_bar(what: str) -> Iterator[Progress]:
    """A bar on stderr with items per second, moved by calling it with (done, all); silent where that is no terminal."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[rate]}"),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=None, rate="")
        began = time.perf_counter()

        def move(done: int, total: int | None) -> None:
            rate = f"{done / (time.perf_counter() - began):.1f}/s"
            bar.update(task, completed=done, total=total, rate=rate)

        yield move


def table_for_stdout(results: Sequence[Result], columns: Sequence[str] | None = None) -> str:
    """Results as text: to be read in a terminal of at most 100 columns; in Markdown for whoever keeps it in a file."""
    from traqpoint.evaluation.result import markdown_table, text_table

    if not sys.stdout.isatty():
        return markdown_table(results, columns)
    return text_table(results, columns, min(100, shutil.get_terminal_size().columns))


def print_outcome(outcome: Outcome, what: str) -> int:
    """One line in all and one per failure; exit code 1 if anything failed. what: "images" or "pairs"."""
    for line in outcome.failed:
        print(f"traqpoint: error: {line}", file=sys.stderr)
    failed = f", {len(outcome.failed)} failed" if outcome.failed else ""
    shrunk = f"; shrunk first, to --long-side: {outcome.shrunk}" if outcome.shrunk else ""
    print(f"{outcome.out}: {len(outcome.done)} {what} done, {len(outcome.skipped)} there already{failed}{shrunk}")
    return 1 if outcome.failed else 0
