"""Images per second of one process, of two that know nothing of each other, and of Ray with one actor and with two.

    OMP_NUM_THREADS=1 python benchmarks/ray_engine.py PHOTOS --out runs/ray [--images 96]

Two plain processes are what the machine can do at best: two cores do not give twice one, if they are hyperthreads. The
rate is that after everybody has begun, so starting Ray is told apart: it is what the run takes beyond its images. Each
call adds a measurement of its --kinds; the table has the fastest of each, which other programs disturbed least.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from traqpoint.distributed.config import EngineConfig
from traqpoint.distributed.ray_engine import extract_shards
from traqpoint.files import write_json
from traqpoint.inference.config import ExtractorConfig, FlowConfig
from traqpoint.inference.extractor import Extractor
from traqpoint.inference.images import name_images
from traqpoint.inference.pipeline import extract_folder
from traqpoint.progress import Progress

SHARD = 8
CONFIG = ExtractorConfig(device="cpu", max_keypoints=2048, long_side=640)


def told(work: Callable[[Progress], object]) -> tuple[float, list[tuple[float, int]]]:
    """Seconds of the whole, and when how many images were done."""
    began, seen = time.perf_counter(), list[tuple[float, int]]()
    work(lambda done, total: seen.append((time.perf_counter() - began, done)))
    return time.perf_counter() - began, seen


def steady_rate(seen: Sequence[tuple[float, int]], begun: int) -> float:
    """Images per second from when `begun` of them were done."""
    (start, first), (end, last) = next(at for at in seen if at[1] >= begun), seen[-1]
    return (last - first) / (end - start)


def alone(images: Sequence[str], out: Path) -> float:
    """Images per second of this process, which uses a core as an actor does."""
    torch.set_num_threads(1)
    shutil.rmtree(out, ignore_errors=True)
    extractor, flow = Extractor(**vars(CONFIG)), FlowConfig(workers=1)
    _, seen = told(lambda each: extract_folder(images, out / "features.h5", extractor, progress=each, flow=flow))
    return steady_rate(seen, SHARD)


def side_by_side(images: Sequence[str], out: Path, processes: int) -> tuple[float, float]:
    """The sum of their images per second, each with its part; starting is not of interest."""
    parts = [images[number::processes] for number in range(processes)]
    command = [sys.executable, __file__, "--out", str(out), "--alone"]
    running = [
        subprocess.Popen([*command, str(number), *part], stdout=subprocess.PIPE, text=True)
        for number, part in enumerate(parts)
    ]
    return sum(float(process.communicate()[0]) for process in running), 0.0


def on_ray(images: Sequence[str], out: Path, actors: int) -> tuple[float, float]:
    """Images per second once every actor works, and seconds before."""
    shutil.rmtree(out, ignore_errors=True)
    engine = EngineConfig("ray", actors=actors, shard=SHARD)
    seconds, seen = told(lambda progress: extract_shards(images, str(out), CONFIG, engine, progress))
    rate = steady_rate(seen, actors * SHARD)
    return rate, seconds - len(images) / rate


def print_table(rates: dict[str, list[tuple[float, float]]]) -> None:
    best = {kind: max(found) for kind, found in rates.items()}
    print("| | images per second | of one process | ms per image beyond plain | seconds to start |")
    print("|---|---:|---:|---:|---:|")
    for kind, (rate, start) in best.items():
        plain, count = best[f"plain-{kind[-1]}"][0], int(kind[-1])
        beyond = f"{1000 * count * (1 / rate - 1 / plain):.0f} | {start:.0f}" if "ray" in kind else " | "
        print(f"| {kind} | {rate:.2f} | {rate / best['plain-1'][0]:.2f} | {beyond} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", nargs="*")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--kinds", nargs="*", default=["plain-1", "plain-2", "ray-1", "ray-2"], help="to measure now")
    parser.add_argument("--alone", metavar="NUMBER", help="be one plain process")
    options = parser.parse_args()
    images = [str(path) for _, path in name_images(options.photos)]
    if options.alone is not None:
        print(alone(images, options.out / f"alone-{options.alone}"))
        return
    stamp = options.out / "rates.json"
    rates = json.loads(stamp.read_text()) if stamp.is_file() else {}
    for kind in options.kinds:
        measure = on_ray if kind.startswith("ray") else side_by_side
        rates.setdefault(kind, []).append(measure(images[: options.images], options.out / kind, int(kind[-1])))
        write_json(stamp, rates)
    print_table(rates)


if __name__ == "__main__":
    main()
