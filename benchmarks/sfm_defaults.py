"""What `traqpoint sfm` makes of photographs by default, beside pycolmap's own SIFT pipeline; both from the files.

    python benchmarks/sfm_defaults.py IMAGES MODEL OUT [--limit 30]

MODEL: a true COLMAP model. Each pipeline is a process of its own; time is wall and CPU time of it, start included.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from traqpoint import optional
from traqpoint.evaluation.metrics.reconstruction import pose_errors
from traqpoint.image import list_images
from traqpoint.io.colmap_model import read_model
from traqpoint.sfm.mapping import model_stats

OURS = "import sys; from traqpoint.cli.main import main; sys.exit(main(['sfm', *sys.argv[1:3], '--device', 'cpu']))"
SIFT = """
import sys, pycolmap
from pathlib import Path
images, out = map(Path, sys.argv[1:3])
out.mkdir(parents=True)
pycolmap.logging.minloglevel = 3
pycolmap.extract_features(out / "database.db", images, camera_mode=pycolmap.CameraMode.SINGLE)
pycolmap.match_exhaustive(out / "database.db")
(out / "sparse").mkdir()
pycolmap.incremental_mapping(out / "database.db", images, out / "sparse")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--limit", type=int, help="only so many images, the first by name")
    options = parser.parse_args()
    photos, truth = options.out / "images", read_model(options.model)
    shutil.rmtree(options.out, ignore_errors=True)
    photos.mkdir(parents=True)
    for path in list_images(options.images)[: options.limit]:
        (photos / path.name).symlink_to(path.absolute())
    print(f"pycolmap {optional.load('pycolmap').__version__}, {os.cpu_count()} cores")
    print("| pipeline | registered | points | track length | px | centre error, median | wall s | CPU s |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for name, code, arguments in (("traqpoint sfm", OURS, ["--out="]), ("pycolmap's SIFT", SIFT, [""])):
        out = options.out / name.split()[0].removesuffix("'s")
        before, began = os.times(), time.perf_counter()
        command = [sys.executable, "-c", code, str(photos), f"{arguments[0]}{out}"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        wall, after = time.perf_counter() - began, os.times()
        cpu = sum(after[2:4]) - sum(before[2:4])
        models = [read_model(folder) for folder in sorted((out / "sparse").iterdir())]
        model = max(models, key=lambda found: len(found.images))
        stats, errors = model_stats(model, len(list_images(photos))), pose_errors(model, truth)
        centre = float(np.median(errors.centre)) if errors is not None else float("nan")
        print(
            f"| {name} | {stats['registered']:.0f} of {stats['images']:.0f} | {stats['points']:.0f} "
            f"| {stats['mean_track_length']:.2f} | {stats['reprojection_error_px']:.2f} | {centre:.4f} "
            f"| {wall:.0f} | {cpu:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
