"""What several verbs share: options of the extractor, the progress bar, the report."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from traqpoint.inference.extractor import Extractor
    from traqpoint.inference.pipeline import Report


@dataclass(frozen=True, kw_only=True)
class ExtractorOptions:
    """Options that become the ExtractorConfig."""

    weights: str = "traqpoint-s"
    """Packaged name or path of a .safetensors file."""
    max_keypoints: int = 2048
    """Keep this many per image, best first."""
    nms_radius: int = 2
    """Non-maximum suppression window is (2r+1)² pixels."""
    threshold: float = 0.0
    """Smallest score, in [0, 1)."""
    prominence: float = 0.3
    """How far a keypoint's logit must rise above its window's lowest; 0 finds keypoints in flat areas too."""
    border: int = 4
    """No keypoints nearer to the image's edge than this, in pixels."""
    long_side: int | None = None
    """Shrink larger images to this many pixels first; keypoints stay in the original image's pixels."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""

    def extractor(self) -> Extractor:
        from traqpoint.inference.extractor import Extractor

        return Extractor(
            self.weights,
            max_keypoints=self.max_keypoints,
            nms_radius=self.nms_radius,
            threshold=self.threshold,
            prominence=self.prominence,
            border=self.border,
            long_side=self.long_side,
            device=self.device,
        )


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
