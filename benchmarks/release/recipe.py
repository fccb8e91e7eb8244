"""From photographs to released weights, unattended, in pieces.

    python benchmarks/release/recipe.py --data DATA --peers PEERS --photos PHOTOS [MORE ...] --out RUN --size s

What is finished in RUN is not done again, and a broken training goes on from its last checkpoint. RUN gets ``photos``
(links to all photographs), ``descriptor`` and ``policy`` (the two stages' runs) and ``traqpoint-SIZE.safetensors``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

from traqpoint.data.config import DataConfig, HomographyConfig
from traqpoint.data.posed.config import ColmapConfig, RgbdConfig
from traqpoint.image import list_images
from traqpoint.models import weights
from traqpoint.models.config import MODELS
from traqpoint.models.traqpoint import TraqPoint
from traqpoint.policy.config import PolicyConfig, WarmupConfig
from traqpoint.training.config import (
    DescriptorConfig,
    DescriptorTraining,
    LoopConfig,
    PolicyTraining,
    TeachersConfig,
)
from traqpoint.training.runs import train_descriptor, train_policy

TEACHERS = ("edgepoint2-E64", "edgepoint2-M64")
STAGES = ("photos", "descriptor", "policy")

LOGIT_SCALE = 0.2
"""The rate of stage 2 leaves logits of up to 40, whose sigmoids are all 1: nobody could rank such scores. Order and
places of keypoints do not depend on the factor; with it, logits spread as those of `traqpoint-s-v1` do."""


@dataclass(frozen=True)
class Options:
    """Where things are, and how long to train."""

    data: Path
    """Folder with daynight/, posed/ and rgbd/."""
    peers: Path
    """Folder with the teachers' weights."""
    photos: tuple[Path, ...]
    """Folders of photographs to learn from; none may hold validation data."""
    out: Path
    """The run's folder."""
    size: Literal["s", "t"] = "s"
    """Which network: pyramid-s or pyramid-t."""
    stages: tuple[str, ...] = STAGES
    """What to do of it."""
    descriptor_steps: int = 8000
    """Updates of stage 1: 0.45 s each on one core."""
    policy_steps: int = 1500
    """Updates of stage 2; with more of them a finished run goes on."""
    seed: int = 0
    """Of both stages."""
    init: str | None = None
    """Weights whose descriptor stage 1 goes on from, instead of random ones."""
    learning_rate: float = 2e-3
    """Of stage 1; half of it where there is an init."""
    cache: Path | None = None
    """Folder for what the teachers said; by default in `out`."""


def gathered(folders: Sequence[Path], out: Path) -> int:
    """Links to all photographs below `folders`, named by their paths, in `out`; how many there are."""
    out.mkdir(parents=True, exist_ok=True)
    for folder in folders:
        for path in list_images(folder):
            link = out / "-".join((folder.name, *path.relative_to(folder).parts))
            if not link.is_symlink():
                link.symlink_to(path.resolve())
    return len(list_images(out))


def real(data: Path, side: int, num_frames: int) -> dict[str, Any]:
    """Options of the scenes with known geometry; the room's last fifth is for validation."""
    frames = {"image_size": (side, side), "num_frames": num_frames}
    scenes = (data / "posed/south_building", data / "posed/bonsai")
    room = (data / "rgbd/hololens_office",)
    return {
        "colmap": ColmapConfig(workspaces=scenes, overlap=(0.15, 0.7), **frames),
        "rgbd": RgbdConfig(folders=room, part=(0.0, 0.8), **frames),
    }


def stage_1(options: Options) -> DescriptorTraining:
    """Two teachers who saw the clean photographs; views no harder than users have them (see README.md beside this)."""
    views = HomographyConfig(
        image_size=256,
        num_frames=2,
        zoom=(1.0, 2.2),
        rotation_degrees=18.0,
        scale=1.7,
        perspective=0.2,
        light="strong",
        turned=0.04,
        min_coverage=0.6,
    )
    return DescriptorTraining(
        DataConfig(
            photos=options.out / "photos",
            mixture=(("homography", 0.82), ("aligned", 0.08), ("colmap", 0.07), ("rgbd", 0.03)),
            aligned=options.data / "daynight",
            homography=views,
            **real(options.data, side=256, num_frames=2),
        ),
        options.out / "descriptor",
        LoopConfig(
            options.descriptor_steps,
            8,
            learning_rate=options.learning_rate,
            precision="float32",
            seed=options.seed,
            schedule="wsd",
            decay_share=0.3,
            ema=0.998,
            checkpoint_every=100,
        ),
        # Where there is no photograph for the teachers, the drawn points alone are contrasted.
        DescriptorConfig(losses=(("cosine", 4.0), ("contrast", 1.0)), points_per_frame=128),
        TeachersConfig(TEACHERS, options.peers, options.cache or options.out / "teachers"),
        model=MODELS[f"traqpoint-{options.size}"],
        init=options.init,
    )


def stage_2(options: Options) -> PolicyTraining:
    """Rewards by the new descriptor, on photographs, by day and night, and in scenes with depth or tracks."""
    return PolicyTraining(
        DataConfig(
            photos=options.out / "photos",
            mixture=(("homography", 0.6), ("aligned", 0.1), ("colmap", 0.2), ("rgbd", 0.1)),
            aligned=options.data / "daynight",
            homography=HomographyConfig(zoom=(1.0, 2.2), light="strong", photometric=0.6, min_coverage=0.7),
            **real(options.data, side=240, num_frames=5),
        ),
        str(options.out / "descriptor" / "descriptor.safetensors"),
        options.out / "policy",
        LoopConfig(options.policy_steps, 2, learning_rate=1e-2, seed=options.seed, precision="float32", ema=0.99),
        # The reward needs little help: without any imitation a hundredth of completeness was lost (docs/method.md §11).
        PolicyConfig(warmup=WarmupConfig(share=0.04)),
        changed=("loop.steps",),
    )


def ship(trained: Path, options: Options) -> None:
    """The file that is released: logits by another factor, and where they come from in the header."""
    model = TraqPoint.from_pretrained(trained)
    _, of_descriptor = weights.read(options.out / "descriptor" / "descriptor.safetensors")
    for layer in (model.detector.head, model.detector.worth):
        layer.weight.data *= LOGIT_SCALE
        layer.bias.data *= LOGIT_SCALE
    name = f"traqpoint-{options.size}"
    about = {
        "name": name,
        "license": "Apache-2.0",
        "teachers": of_descriptor["teachers"],
        "data": f"{len(list_images(options.out / 'photos'))} photographs, cameras by day and night, scenes, RGB-D",
        "training": "benchmarks/release/recipe.py",
    }
    model.save_pretrained(options.out / f"{name}.safetensors", about)


def main(options: Options) -> int:
    if "photos" in options.stages:
        print(f"{gathered(options.photos, options.out / 'photos')} photographs")
    if "descriptor" in options.stages and not (options.out / "descriptor" / "descriptor.safetensors").exists():
        train_descriptor(stage_1(options))
    if "policy" in options.stages:
        ship(train_policy(stage_2(options)), options)
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options)))
