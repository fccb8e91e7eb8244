"""What each part of the release's recipe is worth: all of it on a small budget, and all of it but one part.

    python benchmarks/release_ablation.py --data DATA --peers PEERS --photos PHOTOS --out OUT

Every variant is trained in both stages by release/recipe.py, for the same steps, and judged with its own keypoints and
descriptors on the validation sets. What is finished in OUT is not done again. OUT gets ``ablation.json``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import tyro
from network_search import judged, named
from release import recipe
from torch import Tensor

from traqpoint.files import write_json
from traqpoint.models.config import DESCRIPTORS, ModelConfig, Network
from traqpoint.models.descriptor import Sizes
from traqpoint.models.pyramid import PyramidDescriptor
from traqpoint.training.config import DescriptorTraining, PolicyTraining, TeachersConfig
from traqpoint.training.runs import train_descriptor, train_policy

MEAN, DEVIATION = 0.45, 0.25
"""Of photographs' colours."""


class Unmeasured(PyramidDescriptor):
    """Every image is scaled by the same two numbers, whatever its brightness and contrast."""

    def maps(
        self, images: Tensor, sizes: Sizes | Tensor | None = None, moments: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, ...]:
        return super().maps(images, moments=(images.new_tensor([MEAN]), images.new_tensor([DEVIATION])))


unmeasured_s, unmeasured_t = (Network(Unmeasured, 64, shape=DESCRIPTORS[f"pyramid-{size}"].shape) for size in "st")


@dataclass(frozen=True)
class Options(recipe.Options):
    """The recipe's, for a budget that six variants can have."""

    size: Literal["s", "t"] = "t"
    """Which network: pyramid-s or pyramid-t."""
    descriptor_steps: int = 600
    """Updates of stage 1."""
    policy_steps: int = 300
    """Updates of stage 2."""
    only: tuple[str, ...] = ()
    """Variants; all, if none is named."""


def without_teachers(config: DescriptorTraining) -> DescriptorTraining:
    """The contrast alone, of as many points, drawn."""
    points = config.data.homography.taught_points
    return replace(
        config,
        teachers=TeachersConfig(),
        descriptor=replace(config.descriptor, losses=(("contrast", 1.0),), points_per_frame=points),
    )


def without_contrast(config: DescriptorTraining) -> DescriptorTraining:
    """What the teachers say, where they say something: on photographs."""
    of_teachers = replace(config.descriptor, losses=(("cosine", 1.0),), points_per_frame=0)
    return replace(without_real_sequences(config), descriptor=of_teachers)


def without_normalisation(config: DescriptorTraining) -> DescriptorTraining:
    size = config.model.descriptor[-1]
    place = f"{Path(__file__).resolve()}:unmeasured_{size}"
    DESCRIPTORS[place]  # imported by name: weight files that say it are trusted now
    return replace(config, model=ModelConfig(place, detector="pyramid"))


def without_real_sequences(config):
    """Homographies of photographs alone."""
    return replace(config, data=replace(config.data, mixture=(("homography", 1.0),)))


def without_rewards(config: PolicyTraining) -> PolicyTraining:
    """Imitation of FAST corners: alone for half of the steps, after which the training keeps what `trained` takes."""
    return replace(config, policy=replace(config.policy, warmup=replace(config.policy.warmup, share=1.0)))


def same(config):
    return config


Change = Callable[[Any], Any]
VARIANTS: dict[str, tuple[Change, Change]] = {
    "all of it": (same, same),
    "without teachers": (without_teachers, same),
    "without contrast": (without_contrast, same),
    "without normalisation": (without_normalisation, same),
    "without real sequences": (without_real_sequences, without_real_sequences),
    "without rewards": (same, without_rewards),
}
"""Name -> what becomes of stage 1, and of stage 2."""


def trained(variant: str, options: Options) -> Path:
    """The weights of a variant, under its name."""
    name = variant.replace(" ", "-")
    of_descriptor, of_policy = VARIANTS[variant]
    # Named by what is changed: variants that change nothing of stage 1 share it.
    out = options.out / "descriptors" / of_descriptor.__name__
    first = replace(of_descriptor(recipe.stage_1(options)), out=out)
    descriptor = first.out / "descriptor.safetensors"
    if not descriptor.exists():
        train_descriptor(first)
    second = replace(
        of_policy(recipe.stage_2(options)), descriptor=str(descriptor), out=options.out / "policies" / name
    )
    weights = train_policy(second)
    return named(second.out / "warmup.safetensors" if of_policy is without_rewards else weights, name, options.out)


def main(options: Options) -> None:
    recipe.gathered(options.photos, options.out / "photos")
    rows: dict[str, dict[str, float]] = {}
    for variant in options.only or VARIANTS:
        rows[variant] = judged(str(trained(variant, options)), options.data, options.peers, options.out)
        steps = {"descriptor": options.descriptor_steps, "policy": options.policy_steps}
        protocol = {"network": f"pyramid-{options.size}", "steps": steps, "seed": options.seed}
        write_json(options.out / "ablation.json", {"protocol": protocol, "rows": rows})
        print(variant, {name: round(value, 3) for name, value in rows[variant].items()}, flush=True)
    columns = list(next(iter(rows.values())))
    print("| trained | " + " | ".join(columns) + " |\n|---|" + "---|" * len(columns))
    for variant, row in rows.items():
        print(f"| {variant} | " + " | ".join(f"{row[name]:.3f}" for name in columns) + " |")


if __name__ == "__main__":
    main(tyro.cli(Options))
