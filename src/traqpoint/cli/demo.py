"""``traqpoint demo``"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from traqpoint.cli.common import progress_bar


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Match and track real photographs beside SIFT and ORB, against the truth; about a minute, no network."""

    out: Path = Path("demo")
    """Folder for the pictures, the video and report.json; files of an earlier run are replaced."""
    weights: str = "traqpoint-s"
    """Packaged name or path of a .safetensors file."""
    max_keypoints: int = 1000
    """Keypoints per frame, for every method."""
    device: str = "auto"
    """Where our network runs: auto, cpu, cuda, cuda:1, mps."""

    def run(self) -> int:
        from rich.console import Console

        from traqpoint.apps.demo import FILES, run_demo
        from traqpoint.apps.demo_tables import demo_tables
        from traqpoint.inference.extractor import Extractor

        extractor = Extractor(self.weights, max_keypoints=self.max_keypoints, device=self.device)
        with progress_bar("demo") as progress:
            report = run_demo(extractor, self.out, progress=progress)
        console = Console()
        for table in demo_tables(report):
            console.print(table)
            console.print()
        for name in FILES:
            print(self.out / name)
        return 0
