"""Tracking in plain Python beside as many programs as keep one core busy, with and without OMP_WAIT_POLICY=PASSIVE.

python benchmarks/busy_machine.py FRAMES
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tyro

EXAMPLE = Path(__file__).parent.parent / "examples" / "track_video.py"


def main(frames: tyro.conf.Positional[Path], load: int = 1) -> None:
    """frames: a video, or a folder of images. load: how many cores are kept busy."""
    print(f"{os.cpu_count()} cores, {load} of them busy\n\n| OMP_WAIT_POLICY | wall s | CPU s |\n|---|---:|---:|")
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(load)]
    try:
        for policy in ("", "PASSIVE"):
            wall, cpu = timed(frames, policy)
            print(f"| {policy or 'not set'} | {wall:.1f} | {cpu:.1f} |", flush=True)
    finally:
        for process in busy:
            process.kill()


def timed(frames: Path, policy: str) -> tuple[float, float]:
    """Wall and CPU seconds of the example, start included, with as many threads as PyTorch takes by itself."""
    environment = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY")}
    if policy:
        environment["OMP_WAIT_POLICY"] = policy
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(EXAMPLE), str(frames), "--out", f"{folder}/tracks.png"]
        before, began = os.times(), time.perf_counter()
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        wall, after = time.perf_counter() - began, os.times()
    return wall, sum(after[2:4]) - sum(before[2:4])


if __name__ == "__main__":
    tyro.cli(main)
