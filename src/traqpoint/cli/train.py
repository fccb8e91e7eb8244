"""``traqpoint train descriptor`` and ``traqpoint train policy``"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from traqpoint.cli.common import progress_bar
from traqpoint.policy.presets import PRESETS
from traqpoint.progress import no_bar
from traqpoint.training.config import DescriptorTraining, PolicyTraining
from traqpoint.training.presets import TINY_DESCRIPTOR, TINY_POLICY

if TYPE_CHECKING:
    from traqpoint.training.loop import Report


@dataclass(frozen=True, kw_only=True)
class Descriptor(DescriptorTraining):
    """Stage 1: train the descriptor on known correspondences, and by teachers. Continues from the last checkpoint.

    --teachers.names edgepoint2-E64 aliked-n16rot --teachers.folder PEERS --descriptor.losses cosine 4 contrast 1
    learns what two frozen networks say of each photo, however its views are turned and lit.

    --preset tiny takes a minute on a CPU.
    """

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {"tiny": TINY_DESCRIPTOR}

    def run(self) -> int:
        from traqpoint.training.runs import train_descriptor

        with _training_bar("descriptor", self.loop.steps) as report:
            path = train_descriptor(self, report, progress_bar if _is_first() else no_bar)
        if _is_first():
            print(path)
        return 0


@dataclass(frozen=True, kw_only=True)
class Policy(PolicyTraining):
    """Stage 2: train the policy by its track reward, on a frozen descriptor. Continues from the last checkpoint.

    --preset paper (or reference, sampled) sets all --policy options as the paper or the released code have them;
    --preset tiny takes a minute on a CPU.
    """

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        **{name: {"policy": policy} for name, policy in PRESETS.items()},
        "tiny": TINY_POLICY,
    }

    def run(self) -> int:
        from traqpoint.training.runs import train_policy

        with _training_bar("policy", self.loop.steps) as report:
            path = train_policy(self, report)
        if _is_first():
            print(path)
        return 0


def _is_first() -> bool:
    """Whether this process speaks for all that torchrun has started."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def _training_bar(what: str, steps: int) -> Iterator[Report]:
    """A bar on stderr with the latest numbers; one line every 5 % of the steps where stderr is not a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[numbers]}"),
    )
    with Progress(*columns, console=console, disable=not (console.is_terminal and _is_first())) as bar:
        task = bar.add_task(what, total=steps, numbers="")

        def report(step: int, stats: dict[str, float]) -> None:
            shown = {k: v for k, v in stats.items() if k not in ("data_s", "skipped")}
            numbers = "  ".join(f"{name} {value:.3g}" for name, value in shown.items())
            bar.update(task, completed=step, numbers=numbers)
            if not console.is_terminal and (step % max(1, steps // 20) == 0 or step == steps):
                console.print(f"{what} {step}/{steps}  {numbers}", highlight=False, soft_wrap=True)

        yield report
