"""What several verbs share: options of the extractor, the progress bar, the report."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from traqpoint.errors import ConfigError
from traqpoint.inference.config import ExtractorConfig
from traqpoint.progress import Progress

if TYPE_CHECKING:
    from traqpoint.evaluation.result import Result
    from traqpoint.inference.extractor import Extractor
    from traqpoint.inference.pipeline import Outcome
    from traqpoint.viz.window import Window

Source = TypeVar("Source", str, Path)
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


def one_source(verb: str, source: Source | None, camera: int | None) -> Source | int:
    """What frames come from: a video or a folder, or a webcam by its index. Raises ConfigError for none, or both."""
    if source is not None and camera is None:
        return source
    if camera is not None and source is None:
        return camera
    raise ConfigError(f"{verb} needs a video, a folder of frames or --camera 0, and one of them only")


def open_window(show: bool, title: str, film: Path | None) -> Window | None:
    """None if there is to be none, or cannot be: then `film` is named. Raises ConfigError if there is none either."""
    from traqpoint.viz import window

    missing = window.why_no_window() if show else "without --show there is no window"
    if missing is None:
        return window.Window(title)
    if film is None:
        raise ConfigError(f"{missing}: give --out FOLDER for a video with the trails, tracks.webm")
    if show:
        print(f"traqpoint: warning: {missing}; watch {film} instead", file=sys.stderr)
    return None


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
