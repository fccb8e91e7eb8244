"""What turning and resizing an image costs a method's matches, with and without --rotations and --scales.

    python benchmarks/invariance.py --photos PHOTOS --peers PEERS --out runs/invariance --picture invariance.png

Each photograph is matched with itself, turned about its centre (the canvas grows, filled with the mean colour) or
resized: down by antialiasing, and up the other way round, so that nothing is invented. Plain mutual nearest neighbours.
A match is correct within 3 px of the coarser image; matches whose places in the first image lie within 3 px of a better
one's count once, whatever copies they come from. Time is CPU seconds of one thread per image, as a ratio to the first
row. OUT keeps a file per row: what is there is not done again, so new weights are new rows.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import tyro

from traqpoint import optional
from traqpoint.evaluation.methods.method import build_method
from traqpoint.files import write_json
from traqpoint.image import list_images, read_image
from traqpoint.matching.mutual import match
from traqpoint.types import Features
from traqpoint.viz.plots import method_colours

ANGLES_DEG = (0, 15, 30, 45, 60, 75, 90, 112, 135, 158, 180)
SHRINKING = (1 / 3, 0.42, 0.5, 0.71)
"""Beside these: 1, and what enlarges as much."""
THRESHOLD_PX = 3.0
PEERS = ("SIFT", "XFeat", "ALIKED-N16rot", "EdgePoint2-M64")


@dataclass(frozen=True)
class Options:
    """What to run. The defaults take half an hour on one core."""

    photos: Path
    """Folder of photographs."""
    out: Path
    """Folder for a file per row, and the table."""
    peers: Path | None = None
    """Folder with the weights of other methods; without it kornia downloads them."""
    weights: tuple[str, ...] = ("traqpoint-s",)
    """Packaged weights, or files; each is a row as it is and four with copies."""
    methods: tuple[str, ...] = PEERS
    """Other methods."""
    limit: int = 12
    """So many photographs, evenly chosen."""
    max_keypoints: int = 1000
    """Of an image; rows with copies say how many they keep."""
    picture: Path | None = None
    """Where to draw the curves."""


Extract = Callable[[np.ndarray], Features]


def rows(options: Options) -> Iterator[tuple[str, Callable[[], tuple[Extract, Extract]], bool]]:
    """Name, what builds the extractors of the first and the second image, and whether it is drawn."""

    def both(name: str, count: int = 1, **copies: Any) -> tuple[Extract, Extract]:
        extract = build_method(name, count * options.max_keypoints, None, options.peers, "cpu", **copies)
        return extract, extract

    scales = (0.5, 1.0, 2.0)
    for path in options.weights:
        name, few = Path(path).stem, f"{options.max_keypoints} keypoints"
        yield name, lambda path=path: both(path), True
        drawn = path == options.weights[0]
        yield f"{name}, 4 rotations", lambda path=path: both(path, 4, rotations=4), drawn
        yield f"{name}, 3 scales", lambda path=path: both(path, 3, scales=scales), drawn
        yield f"{name}, 4 rotations, {few}", lambda path=path: both(path, rotations=4), False
        yield f"{name}, 3 scales, {few}", lambda path=path: both(path, scales=scales), False
        query = f"{name}, 4 rotations of the second image"
        yield query, lambda path=path: (both(path)[0], both(path, 4, rotations=4)[0]), False
    for method in options.methods:
        yield method, lambda method=method: both(method), True


def rotated(image: np.ndarray, angle_deg: float) -> tuple[np.ndarray, np.ndarray]:
    """The image turned to the right on a canvas that holds all of it, and how (2, 3) in COLMAP's pixels."""
    height, width = image.shape[:2]
    radians = np.deg2rad(angle_deg)
    turn = np.array([[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]])
    size = np.ceil(np.abs(turn) @ [width, height] - 1e-6)
    shift = size / 2 - turn @ [width / 2, height / 2]
    between_centres = np.column_stack([turn, shift + turn @ [0.5, 0.5] - 0.5])
    mean = tuple(map(float, image.mean((0, 1))))
    canvas = (int(size[0]), int(size[1]))
    out = cv2.warpAffine(image, between_centres, canvas, flags=cv2.INTER_CUBIC, borderValue=mean)
    return out, np.column_stack([turn, shift])


def shrunk(image: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """The image resized, and how (2, 3)."""
    height, width = image.shape[:2]
    size = round(width * scale), round(height * scale)
    map = np.array([[size[0] / width, 0, 0], [0, size[1] / height, 0]])
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), map


def judged(a: Features, b: Features, b_from_a: np.ndarray) -> tuple[int, int]:
    """How many matches are correct, and how many there are, each place once."""
    matches = match(a, b)
    i, j = matches.indices[matches.scores.argsort(descending=True)].T
    source = a.keypoints[i].double()
    near = (torch.cdist(source, source) < THRESHOLD_PX).tril(-1)
    kept = torch.ones(len(i), dtype=torch.bool)
    for row in near.any(1).nonzero().flatten().tolist():
        kept[row] = not bool((near[row] & kept).any())
    moved = source.numpy() @ b_from_a[:, :2].T + b_from_a[:, 2]
    error = np.linalg.norm(moved - b.keypoints[j].double().numpy(), axis=1)
    limit = THRESHOLD_PX * max(1.0, float(np.sqrt(np.linalg.det(b_from_a[:, :2]))))
    return int((error[kept.numpy()] < limit).sum()), int(kept.sum())


def inverse(b_from_a: np.ndarray) -> np.ndarray:
    back = np.linalg.inv(b_from_a[:, :2])
    return np.column_stack([back, -back @ b_from_a[:, 2]])


def curves(first: Extract, second: Extract, photos: list[np.ndarray]) -> dict[str, Any]:
    """Angle or scale -> mean correct matches and mean accuracy; CPU seconds per image of the second extractor."""
    found: dict[str, dict[float, list[tuple[int, int]]]] = {"rotation": {}, "scale": {}}
    seconds = 0.0
    for photo in photos:
        began = time.process_time()
        asked = second(photo)
        seconds += time.process_time() - began
        reference = asked if first is second else first(photo)
        for angle in ANGLES_DEG:
            other, b_from_a = rotated(photo, angle)
            found["rotation"].setdefault(angle, []).append(judged(reference, second(other), b_from_a))
        found["scale"].setdefault(1, []).append(found["rotation"][0][-1])
        for scale in SHRINKING:
            small, small_from_large = shrunk(photo, scale)
            looked = second(small)
            found["scale"].setdefault(scale, []).append(judged(reference, looked, small_from_large))
            back = looked if first is second else first(small)
            found["scale"].setdefault(1 / scale, []).append(judged(back, asked, inverse(small_from_large)))
    out: dict[str, Any] = {"seconds": seconds / len(photos)}
    for kind, by_change in found.items():
        changes = sorted(by_change)
        out[kind] = {
            "at": changes,
            "correct": [float(np.mean([good for good, _ in by_change[x]])) for x in changes],
            "accuracy": [float(np.mean([good / max(1, all) for good, all in by_change[x]])) for x in changes],
        }
    return out


def table(results: dict[str, dict[str, Any]]) -> str:
    """Correct matches and accuracy at some changes, and time by the first row's."""
    shown = [("rotation", x, f"{x}°") for x in (0, 30, 45, 90, 180)]
    shown += [("scale", x, text) for x, text in ((1 / 3, "1/3"), (0.5, "1/2"), (2.0, "2"), (3.0, "3"))]
    lines = [f"| method | {' | '.join(text for *_, text in shown)} | time |", "|---|" + "---|" * (len(shown) + 1)]
    base = next(iter(results.values()))["seconds"]
    for name, result in results.items():
        cells = []
        for kind, x, _ in shown:
            index = int(np.abs(np.array(result[kind]["at"]) - x).argmin())
            cells.append(f"{result[kind]['correct'][index]:.0f}, {result[kind]['accuracy'][index]:.2f}")
        lines.append(f"| {name} | {' | '.join(cells)} | {result['seconds'] / base:.1f} |")
    return "\n".join(lines)


def draw(results: dict[str, dict[str, Any]], path: Path) -> None:
    """Correct matches above, accuracy below; rotation on the left, scale on the right."""
    plt = optional.load("matplotlib.pyplot")
    figure, axes = plt.subplots(2, 2, figsize=(10, 6), dpi=120, sharex="col", sharey="row", layout="constrained")
    colours = method_colours(list(results))
    for column, (kind, label) in enumerate((("rotation", "rotation, degrees"), ("scale", "scale of the second image"))):
        for row, what in enumerate(("correct", "accuracy")):
            for name, result in results.items():
                ours = "," in name or name.startswith("traqpoint")
                style = {"color": colours[name], "lw": 2.4 if ours else 1.4, "label": name}
                axes[row, column].plot(result[kind]["at"], result[kind][what], **style)
            axes[row, column].grid(color="#e3e3e3")
            axes[row, column].spines[["top", "right"]].set_visible(False)
            axes[row, column].margins(x=0)
            axes[row, column].set_ylim(bottom=0)
        axes[1, column].set_xlabel(label)
    axes[0, 0].set_ylabel("correct matches")
    axes[1, 0].set_ylabel("correct / all matches")
    axes[1, 0].set_xticks(range(0, 181, 45))
    axes[1, 1].set_xscale("log")
    axes[1, 1].set_xticks([1 / 3, 0.5, 1, 2, 3], ["1/3", "1/2", "1", "2", "3"], minor=False)
    axes[1, 1].minorticks_off()
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def main(options: Options) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    paths = list_images(options.photos)
    photos = [read_image(path) for path in paths[:: max(1, len(paths) // options.limit)][: options.limit]]
    results, drawn = {}, []
    for name, build, is_drawn in rows(options):
        file = options.out / f"{name}.json"
        if not file.is_file():
            write_json(file, curves(*build(), photos))
        results[name] = json.loads(file.read_text())
        drawn += [name] * is_drawn
        print(f"{name}: {results[name]['seconds']:.3f} CPU seconds per image", flush=True)
    (options.out / "table.md").write_text(table(results) + "\n")
    print(table(results))
    if options.picture is not None:
        draw({name: results[name] for name in drawn}, options.picture)


if __name__ == "__main__":
    main(tyro.cli(Options))
