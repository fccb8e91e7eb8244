"""Time and memory against the size of an image, and against the number of keypoints that are matched.

    python benchmarks/size_scaling.py --out benchmarks/results/size_scaling.json --plot docs/images/size_scaling.png

Every measurement is a process of its own; its peak is the largest resident size that the system saw, everything from
Python to the decoded file included. Images are procedural textures as JPEG files.
"""

from __future__ import annotations

import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import tyro
from extraction_speed import built

from traqpoint import optional
from traqpoint.data.worlds.textures import procedural_textures
from traqpoint.files import write_json
from traqpoint.image import write_image
from traqpoint.matching.config import DualSoftmaxConfig, MatcherConfig, MutualConfig
from traqpoint.matching.run import build_matcher
from traqpoint.types import Features

MATCHERS = {
    "mutual": MatcherConfig(),
    "mutual, ratio 0.9": MatcherConfig(mutual=MutualConfig(max_ratio=0.9)),
    "dual-softmax": MatcherConfig("dual-softmax", dual_softmax=DualSoftmaxConfig()),
}


@dataclass(frozen=True)
class Options:
    """What to measure."""

    networks: tuple[str, ...] = ("traqpoint-s-v1", "traqpoint-s")
    """Weights, or networks of models.config:MODELS without any."""
    megapixels: tuple[float, ...] = (1, 4, 12, 50, 100)
    """Sizes of images, 4:3."""
    memory: str = "2GB"
    """Budget of the tiled runs."""
    untiled: float = 12
    """Largest image that is worked on at once, too."""
    keypoints: tuple[int, ...] = (2_000, 4_000, 8_000, 16_000, 32_000)
    """Keypoints in each of two images that are matched."""
    threads: int = 1
    """CPU threads."""
    out: Path | None = None
    """Write the rows with their protocol here, as JSON."""
    plot: Path | None = None
    """Write a plot of them here."""
    task: str = ""
    """One measurement, as JSON: what the processes are started with."""


def picture(megapixels: float) -> np.ndarray:
    """uint8 (H, W, 3), 4:3: one texture again and again, each time in another light."""
    width = round((megapixels * 1e6 * 4 / 3) ** 0.5)
    height = width * 3 // 4
    texture = procedural_textures(1, 1024, torch.Generator().manual_seed(0))[0].permute(1, 2, 0).numpy()
    out = np.empty((height, width, 3), dtype=np.uint8)
    for y in range(0, height, 1024):
        for x in range(0, width, 1024):
            part = out[y : y + 1024, x : x + 1024]
            light = 0.6 + 0.4 * ((x + 3 * y) // 1024 % 7) / 7
            part[:] = 255 * light * texture[: part.shape[0], : part.shape[1]]
    return out


def extraction(task: dict[str, Any]) -> dict[str, Any]:
    """One image of a file; the network is warm, the memory is not."""
    torch.manual_seed(0)
    extractor = built(task["network"], 8192, memory=task["memory"])
    extractor(np.zeros((64, 64, 3), np.uint8))
    began = time.process_time()
    found = extractor(task["image"])
    return {"cpu_seconds": time.process_time() - began, "keypoints": len(found), "found_at": found.found_at}


def matching(task: dict[str, Any]) -> dict[str, Any]:
    """Two images with as many keypoints, of which each has a noisy twin."""
    count, generator = task["keypoints"], torch.Generator().manual_seed(0)
    a = F.normalize(torch.randn(count, 64, generator=generator), dim=-1)
    b = F.normalize(a + 0.1 * torch.randn(count, 64, generator=generator), dim=-1)
    one, two = (Features(torch.zeros(count, 2), torch.zeros(count), x, (1, 1)) for x in (a, b))
    matcher = build_matcher(MATCHERS[task["matcher"]])
    began = time.process_time()
    found = matcher(one, two)
    return {"cpu_seconds": time.process_time() - began, "matches": len(found)}


def measured(task: dict[str, Any], threads: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--threads", str(threads), "--task", json.dumps(task)]
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    row = {key: value for key, value in task.items() if key != "image"} | json.loads(ended.stdout)
    print(
        ", ".join(f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items())
    )
    return row


def run_task(options: Options) -> None:
    task = json.loads(options.task)
    found = matching(task) if "matcher" in task else extraction(task)
    print(json.dumps(found | {"peak_mb": round(peak_mb())}))


def peak_mb() -> float:
    """Of this process. Where Linux says it: its ru_maxrss begins with what the parent held when it started this one."""
    status = Path("/proc/self/status")
    if status.is_file():
        return int(next(line for line in status.read_text().splitlines() if line.startswith("VmHWM")).split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_images(options: Options) -> list[dict[str, Any]]:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for megapixels in options.megapixels:
            image = Path(folder) / f"{megapixels}.jpg"
            write_image(image, picture(megapixels))
            for network in options.networks:
                for memory in (None, options.memory):
                    if memory is not None or megapixels <= options.untiled:
                        task = {"network": network, "megapixels": megapixels, "memory": memory, "image": str(image)}
                        rows.append(measured(task, options.threads))
    return rows


def draw(images: list[dict[str, Any]], matches: list[dict[str, Any]], path: Path) -> None:
    plt = optional.load("matplotlib.pyplot")
    figure, axes = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
    for network in dict.fromkeys(row["network"] for row in images):
        for memory in dict.fromkeys(row["memory"] for row in images):
            rows = [row for row in images if (row["network"], row["memory"]) == (network, memory)]
            label = f"{network}, {'at once' if memory is None else f'--memory {memory}'}"
            style = "--o" if memory is None else "-o"
            colour = f"C{list(dict.fromkeys(row['network'] for row in images)).index(network)}"
            x = [row["megapixels"] for row in rows]
            axes[0].plot(x, [row["cpu_seconds"] for row in rows], style, label=label, color=colour)
            axes[1].plot(x, [row["peak_mb"] / 1024 for row in rows], style, label=label, color=colour)
    for matcher in dict.fromkeys(row["matcher"] for row in matches):
        rows = [row for row in matches if row["matcher"] == matcher]
        axes[2].plot([r["keypoints"] for r in rows], [r["peak_mb"] / 1024 for r in rows], "-o", label=matcher)
    labels = (("megapixels", "CPU seconds"), ("megapixels", "peak memory [GiB]"), ("keypoints in each image", ""))
    for axis, (x, y) in zip(axes, labels, strict=True):
        axis.set(xlabel=x, ylabel=y, xlim=0, ylim=0)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    for axis, title in zip(axes, ("Extraction: time", "Extraction: memory", "Matching: memory [GiB]"), strict=True):
        axis.set_title(title, fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main(options: Options) -> None:
    torch.set_num_threads(options.threads)
    if options.task:
        run_task(options)
        return
    images = measure_images(options)
    pairs = [{"matcher": matcher, "keypoints": count} for matcher in MATCHERS for count in options.keypoints]
    matches = [measured(task, options.threads) for task in pairs]
    protocol = {
        "threads": options.threads,
        "torch": torch.__version__,
        "hardware": platform.processor() or platform.machine(),
    }
    if options.out is not None:
        write_json(options.out, {"protocol": protocol, "extraction": images, "matching": matches})
    if options.plot is not None:
        draw(images, matches, options.plot)


if __name__ == "__main__":
    main(tyro.cli(Options))
