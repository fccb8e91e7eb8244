"""Shapes of the second generation, trained briefly on the same data: time against what the descriptors are worth.

    python benchmarks/network_search.py --data DATA --peers PEERS --photos PHOTOS --out OUT

Each candidate of network_candidates.py learns from two teachers for the same few hundred steps and then describes the
keypoints of `traqpoint-s-v1`, so that only descriptors differ: pose on two wide-baseline scenes, tracks on unseen
photographs. The peers stand beside them with keypoints of their own. What is finished in OUT is not done again; OUT
gets ``search.json`` and ``search.png``. Time is measured last, interleaved: nothing else may run then.
"""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import network_candidates
import torch
import tyro
from extraction_speed import built
from torch import Tensor

from traqpoint.data.config import DataConfig, HomographyConfig
from traqpoint.data.worlds.textures import procedural_textures
from traqpoint.evaluation.benchmark import Benchmark
from traqpoint.evaluation.benchmarks.pose import PoseBenchmark
from traqpoint.evaluation.benchmarks.tracks import TracksBenchmark
from traqpoint.evaluation.methods.method import build_method
from traqpoint.evaluation.run import run_benchmark
from traqpoint.files import write_json
from traqpoint.models.config import DESCRIPTORS, ModelConfig, Network
from traqpoint.optional import load
from traqpoint.training.config import DescriptorConfig, DescriptorTraining, LoopConfig, TeachersConfig
from traqpoint.training.runs import train_descriptor

CANDIDATES = [name for name, value in vars(network_candidates).items() if isinstance(value, Network)]
PEERS = ("traqpoint-s-v1", "XFeat", "EdgePoint2-M64", "EdgePoint2-E64", "ALIKED-N16")


@dataclass(frozen=True)
class Options:
    """What to train, and where to judge it."""

    data: Path
    """Folder with posed/strecha/ and photos/val."""
    peers: Path
    """Folder with the weights of teachers and peers."""
    photos: Path
    """Folder of photographs to train on."""
    out: Path
    """Folder for runs, results, table and picture."""
    only: tuple[str, ...] = tuple(CANDIDATES)
    """Candidates."""
    max_photos: int = 540
    """Of the photographs."""
    steps: int = 400
    """Updates of each."""
    seed: int = 0
    """Of each."""
    cache: Path | None = None
    """Folder for what the teachers said; by default in `out`."""
    rounds: int = 7
    """Of the timing."""


def place(name: str) -> str:
    """A candidate as ModelConfig.descriptor names it."""
    return f"{network_candidates.__file__}:{name}"


def training(name: str, options: Options) -> DescriptorTraining:
    """The same for all but the network."""
    views = HomographyConfig(
        image_size=256, num_frames=2, zoom=(1.0, 2.0), scale=1.9, light="strong", turned=0.15, min_coverage=0.7
    )
    return DescriptorTraining(
        DataConfig(photos=options.photos, max_photos=options.max_photos, homography=views),
        options.out / "runs" / name,
        LoopConfig(options.steps, 8, learning_rate=2e-3, precision="float32", seed=options.seed),
        DescriptorConfig(losses=(("cosine", 4.0), ("contrast", 1.0)), points_per_frame=0),
        TeachersConfig(("edgepoint2-E64", "edgepoint2-M64"), options.peers, options.cache or options.out / "teachers"),
        model=ModelConfig(place(name), detector="pyramid"),
    )


def benchmarks(data: Path) -> dict[str, tuple[Benchmark, str]]:
    """Name -> benchmark and the number that counts."""
    size = {"max_keypoints": 1024, "long_side": 640}
    scenes = {
        f"pose {scene}": (PoseBenchmark(truth=data / "posed/strecha" / scene, estimators=("poselib",), **size), "auc_5")
        for scene in ("castle-P19", "entry-P10")
    }
    # As in peers.py: neighbours there share half of what they see, and the recording is good to about 5 px.
    room = {"rgbd": data / "rgbd/hololens_office", "first": 150, "frames": 3, "stride": 2, "threshold_px": 5.0}
    return {
        **scenes,
        "tracks": (TracksBenchmark(photos=data / "photos/val", limit=20, **size), "completeness"),
        "room": (TracksBenchmark(**room, **size), "completeness"),
    }


def named(weights: Path, name: str, out: Path) -> Path:
    """The same weights in a file that tables call by `name`."""
    file = out / "weights" / f"{name}.safetensors"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(weights.read_bytes())
    return file


def as_named(weights: Path, name: str, out: Path) -> str:
    """A method with the keypoints of traqpoint-s-v1 and these descriptors, which tables call by `name`."""
    return f"traqpoint-s-v1+{named(weights, name, out)}"


def judged(method: str, data: Path, peers: Path, out: Path) -> dict[str, float]:
    """The numbers that count of one method; `out` keeps the tables."""
    numbers = {}
    for name, (benchmark, number) in benchmarks(data).items():
        tables = run_benchmark(benchmark, [method], out / name.replace(" ", "-"), peers=peers)
        (results,) = tables.values()
        numbers[name] = float(results[0].stats[number])
    return numbers


def milliseconds(names: tuple[str, ...], options: Options) -> dict[str, float]:
    """Median time of a 640 × 480 image with 2048 keypoints on one thread; candidates with the light detector."""
    torch.set_num_threads(1)
    image: Tensor = procedural_textures(1, 640, torch.Generator().manual_seed(0))[0, :, :480].contiguous()
    timed = {name: built_candidate(name) for name in names}
    timed |= {name: build_method(name, 2048, peers=options.peers, device="cpu") for name in PEERS}
    seconds: dict[str, list[float]] = {name: [] for name in timed}
    for _ in range(options.rounds):
        for name, extract in timed.items():
            for warm in (True, False, False):
                began = time.perf_counter()
                extract(image)
                if not warm:
                    seconds[name].append(time.perf_counter() - began)
    return {name: 1e3 * statistics.median(values) for name, values in seconds.items()}


def built_candidate(name: str):
    """Untrained, for time does not ask what a network has learned."""
    return built(ModelConfig(place(name), detector="pyramid"), 2048)


def draw(rows: dict[str, dict[str, float]], path: Path) -> None:
    plt = load("matplotlib.pyplot")
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    for axis, label in zip(axes, ("pose AUC@5°, mean of two scenes", "track completeness"), strict=True):
        for name, row in rows.items():
            poses = [row[key] for key in row if key.startswith("pose")]
            value = row["tracks"] if label.startswith("track") else sum(poses) / len(poses)
            own = name in CANDIDATES
            axis.scatter(row["ratio"], value, color="tab:orange" if own else "tab:blue", s=24)
            axis.annotate(name, (row["ratio"], value), xytext=(4, 3), textcoords="offset points", fontsize=8)
        axis.set(xscale="log", xlabel="time / XFeat's", ylabel=label)
        axis.grid(alpha=0.3, which="both")
    figure.savefig(path, dpi=130)


def main(options: Options) -> None:
    rows: dict[str, dict[str, float]] = {}
    for name in options.only:
        DESCRIPTORS[place(name)]  # imported by name: weight files that say it are trusted now
        config = training(name, options)
        weights = config.out / "descriptor.safetensors"
        if not weights.exists():
            train_descriptor(config)
        rows[name] = judged(as_named(weights, name, options.out), options.data, options.peers, options.out)
        print(name, json.dumps(rows[name]), flush=True)
    rows |= {name: judged(name, options.data, options.peers, options.out) for name in PEERS}
    times = milliseconds(options.only, options)
    for name, row in rows.items():
        row |= {"ms": times[name], "ratio": times[name] / times["XFeat"]}
    protocol = {"steps": options.steps, "photos": options.max_photos, "seed": options.seed, "threads": 1}
    write_json(options.out / "search.json", {"protocol": protocol, "rows": rows})
    draw(rows, options.out / "search.png")
    print("| network | time / XFeat | castle | entry | tracks |\n|---|---|---|---|---|")
    for name, row in rows.items():
        numbers = (row[key] for key in ("pose castle-P19", "pose entry-P10", "tracks"))
        print(f"| {name} | {row['ratio']:.2f} | " + " | ".join(f"{value:.3f}" for value in numbers) + " |")


if __name__ == "__main__":
    main(tyro.cli(Options))
