"""Sequences of MegaDepth, chosen by the overlaps that its scene_info files list, in an index file without pickles."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from traqpoint.data.posed.config import IndexConfig
from traqpoint.errors import DataError, FormatError
from traqpoint.files import atomic
from traqpoint.io.scene_info import read_scene_info

_CHALLENGE = "the Image Matching Challenge tests on it"
_BENCHMARK = "MegaDepth-1500 tests on it"
EXCLUDED_SCENES = {
    **dict.fromkeys(("0015", "0022"), _BENCHMARK),
    **dict.fromkeys(("0008", "0019", "0021", "0024", "0025", "0032", "0063", "1589"), _CHALLENGE),
}
"""Scene -> why nothing is trained on it. The same ten that DeDoDe and RoMa leave out."""

SCENE_INFO_FOLDER = Path("megadepth_indices") / "scene_info_0.1_0.7"
"""Where LoFTR's indices lie below MegaDepth's root."""
TRIES_PER_SEQUENCE = 20
"""Random starts per sequence wanted, before a scene is held to have no more."""
_FORMAT = "traqpoint megadepth sequences 1"


@dataclass(frozen=True)
class ScenePairs:
    """The frames of one scene that occur in a pair, and the pairs. N frames, P pairs."""

    scene: str
    """Its number, such as 0001."""
    images: list[str]
    """N paths below MegaDepth's root."""
    depths: list[str]
    """N paths, as the scene_info file has them."""
    K: np.ndarray
    """(N, 3, 3) float64; they are COLMAP's, in its own pixel convention and ours: nothing is converted."""
    cam_from_world: np.ndarray
    """(N, 4, 4) float64."""
    pairs: np.ndarray
    """(P, 2) int64, each pair once."""
    overlaps: np.ndarray
    """(P,) float64."""


@dataclass(frozen=True)
class SequenceIndex:
    """Chosen sequences. F frames, N sequences of T frames."""

    images: np.ndarray
    """(F,) paths below MegaDepth's root, such as Undistorted_SfM/0001/images/x.jpg."""
    depths: np.ndarray
    """(F,) paths, as the scene_info file has them."""
    K: np.ndarray
    """(F, 3, 3) float64, COLMAP's pixel convention."""
    cam_from_world: np.ndarray
    """(F, 4, 4) float64."""
    sequences: np.ndarray
    """(N, T) int64, which frames."""
    overlaps: np.ndarray
    """(N, T - 1) float64, of each target with the first frame (star) or the one before (chain)."""


def check_scene(scene: str) -> None:
    """Raise DataError, with the reason, if the scene is held out."""
    if scene in EXCLUDED_SCENES:
        raise DataError(f"MegaDepth scene {scene} is not for training: {EXCLUDED_SCENES[scene]}")


def scene_of(image: str) -> str:
    """Undistorted_SfM/0001/images/x.jpg -> 0001. Raises FormatError for another path."""
    parts = Path(image).parts
    if len(parts) < 3 or parts[-2] != "images":
        raise FormatError(f"{image}: not a path of MegaDepth, Undistorted_SfM/SCENE/images/NAME")
    return parts[-3]


def find_scenes(folder: str | Path, scenes: Sequence[str] = ()) -> dict[str, list[Path]]:
    """Scene -> its scene_info files (SCENE.npz, SCENE_0.1_0.3.npz …), of all scenes that may be trained on.

    scenes: only these. Raises DataError if one of them is held out or has no file, or if there is none at all.
    """
    for scene in scenes:
        check_scene(scene)
    found: dict[str, list[Path]] = {}
    for path in sorted(Path(folder).glob("*.npz")):
        found.setdefault(path.stem.split("_")[0], []).append(path)
    missing = [scene for scene in scenes if scene not in found]
    if missing or not found:
        raise DataError(f"{folder}: no scene_info file of {'scene ' + missing[0] if missing else 'any scene'}")
    return {scene: found[scene] for scene in scenes or found if scene not in EXCLUDED_SCENES}


def read_scene(files: Sequence[str | Path]) -> ScenePairs:
    """All pairs of one scene, from its scene_info files: LoFTR's with pair_infos, or D2-Net's with an overlap_matrix.

    Of an overlap listed in both directions the smaller counts. Frames without image, depth, calibration or pose
    are left out. Raises FormatError naming the file, DataError if no pair is left or the files are of several scenes.
    """
    frames: dict[str, tuple[str, np.ndarray, np.ndarray]] = {}
    shares: dict[tuple[str, str], float] = {}
    for file in files:
        info = read_scene_info(file, ("image_paths", "depth_paths", "intrinsics", "poses"))
        columns = [info[key] for key in ("image_paths", "depth_paths", "intrinsics", "poses")]
        try:
            for i, j, share in _listed_pairs(file):
                rows = [[column[k] for column in columns] for k in (i, j)]
                if any(value is None for row in rows for value in row):
                    continue
                for image, depth, K, pose in rows:
                    frames[image] = (depth, np.array(K, dtype=np.float64), np.array(pose, dtype=np.float64))
                key = min(rows[0][0], rows[1][0]), max(rows[0][0], rows[1][0])
                shares[key] = min(share, shares.get(key, share))
        except (IndexError, TypeError, ValueError) as error:
            raise FormatError(f"{file}: the pairs and the frames do not fit each other ({error})") from None
    if not shares:
        raise DataError(f"{files[0]}: no pair of frames that have image, depth, calibration and pose")
    images = sorted(frames)
    scenes = {scene_of(image) for image in images}
    if len(scenes) > 1:
        raise DataError(f"{files[0]}: frames of several scenes, {', '.join(sorted(scenes))}")
    number = {image: i for i, image in enumerate(images)}
    pairs = sorted((number[a], number[b], share) for (a, b), share in shares.items())
    return ScenePairs(
        scenes.pop(),
        images,
        [frames[image][0] for image in images],
        np.stack([frames[image][1] for image in images]),
        np.stack([frames[image][2] for image in images]),
        np.array([pair[:2] for pair in pairs], dtype=np.int64),
        np.array([pair[2] for pair in pairs]),
    )


def _listed_pairs(file: str | Path) -> Iterable[tuple[int, int, float]]:
    try:
        infos = read_scene_info(file, ("pair_infos",))["pair_infos"]
    except FormatError:
        matrix = np.asarray(read_scene_info(file, ("overlap_matrix",))["overlap_matrix"], dtype=np.float64)
        smaller = np.triu(np.minimum(matrix, matrix.T), 1)
        rows, columns = np.nonzero(smaller > 0)
        return zip(rows.tolist(), columns.tolist(), smaller[rows, columns].tolist(), strict=True)
    return [(int(info[0][0]), int(info[0][1]), float(info[1])) for info in infos]


def draw_sequences(
    pairs: np.ndarray, overlaps: np.ndarray, band: tuple[float, float], config: IndexConfig, rng: np.random.Generator
) -> list[tuple[int, ...]]:
    """Up to config.per_scene different sequences of frames, all of whose neighbours' overlaps are in `band`.

    pairs: (P, 2) int64. overlaps: (P,). A frame occurs once in a sequence.
    """
    neighbours: dict[int, list[int]] = {}
    for a, b in pairs[(overlaps >= band[0]) & (overlaps <= band[1])].tolist():
        neighbours.setdefault(a, []).append(b)
        neighbours.setdefault(b, []).append(a)
    frames = sorted(neighbours)
    grow = _star if config.order == "star" else _chain
    found: dict[tuple[int, ...], None] = {}
    for _ in range(TRIES_PER_SEQUENCE * config.per_scene if frames else 0):
        sequence = grow(frames[rng.integers(len(frames))], neighbours, config.num_frames, rng)
        if len(sequence) == config.num_frames:
            found[sequence] = None
        if len(found) == config.per_scene:
            break
    return list(found)


def _star(first: int, neighbours: dict[int, list[int]], length: int, rng: np.random.Generator) -> tuple[int, ...]:
    targets = rng.permutation(neighbours[first])[: length - 1]
    return (first, *sorted(targets.tolist()))


def _chain(first: int, neighbours: dict[int, list[int]], length: int, rng: np.random.Generator) -> tuple[int, ...]:
    out = [first]
    while len(out) < length and (open_ := [frame for frame in neighbours[out[-1]] if frame not in out]):
        out.append(open_[rng.integers(len(open_))])
    return tuple(out)


def build_sequences(scenes: Iterable[ScenePairs], config: IndexConfig) -> SequenceIndex:
    """The index of the sequences of `scenes`, and of the frames in them; the same again for the same arguments.

    Raises DataError if a scene is held out, or if no scene has any such sequence.
    """
    images: list[str] = []
    depths: list[str] = []
    K, poses, sequences, overlaps = [], [], [], []
    for scene in scenes:
        check_scene(scene.scene)
        rng = np.random.default_rng([config.seed, *scene.scene.encode()])
        drawn = [draw_sequences(scene.pairs, scene.overlaps, band, config, rng) for band in config.bands]
        chosen = [sequence for sequences_of_band in drawn for sequence in sequences_of_band]
        used = sorted({frame for sequence in chosen for frame in sequence})
        row = {frame: len(images) + i for i, frame in enumerate(used)}
        share = {tuple(pair): value for pair, value in zip(scene.pairs.tolist(), scene.overlaps, strict=True)}
        for sequence in chosen:
            before = sequence[:1] * (len(sequence) - 1) if config.order == "star" else sequence[:-1]
            sequences.append([row[frame] for frame in sequence])
            overlaps.append([share[min(a, b), max(a, b)] for a, b in zip(before, sequence[1:], strict=True)])
        images += [scene.images[frame] for frame in used]
        depths += [scene.depths[frame] for frame in used]
        K += [scene.K[frame] for frame in used]
        poses += [scene.cam_from_world[frame] for frame in used]
    if not sequences:
        bands = " or ".join(f"[{low}, {high}]" for low, high in config.bands)
        raise DataError(f"no {config.order} of {config.num_frames} frames with overlaps in {bands} in any scene")
    return SequenceIndex(
        np.array(images), np.array(depths), np.stack(K), np.stack(poses), np.array(sequences), np.array(overlaps)
    )


def write_index(path: str | Path, index: SequenceIndex) -> None:
    """Write an index as npz without pickles, complete or not at all."""
    arrays: dict[str, Any] = {field.name: getattr(index, field.name) for field in fields(SequenceIndex)}
    with atomic(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, format=np.array(_FORMAT), **arrays)


def read_index(path: str | Path) -> SequenceIndex:
    """Raises FormatError if the file is no such index, DataError if a scene in it is held out."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise FormatError(f"{path}: not an index of MegaDepth sequences ({error})") from None
    if str(arrays.pop("format", None)) != _FORMAT or set(arrays) != {field.name for field in fields(SequenceIndex)}:
        raise FormatError(f"{path}: not an index that `traqpoint data megadepth-sequences` has written")
    index = SequenceIndex(**arrays)
    n = len(index.images)
    fits = len(index.depths) == n and index.K.shape == (n, 3, 3) and index.cam_from_world.shape == (n, 4, 4)
    if not fits or index.sequences.min() < 0 or index.sequences.max() >= n:
        raise FormatError(f"{path}: the sequences and the frames do not fit each other")
    for scene in sorted({scene_of(image) for image in index.images.tolist()}):
        check_scene(scene)
    return index
