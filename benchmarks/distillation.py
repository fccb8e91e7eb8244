"""What a teacher is worth: the same network, photographs and steps with contrast, with teachers, and with both.

    python benchmarks/distillation.py --data DATA --peers PEERS --photos PHOTOS --out OUT

Every variant is trained with each seed and then describes the keypoints of `traqpoint-s-v1`: pose on two wide-baseline
scenes, tracks on unseen photographs and in a room. What is finished in OUT is not done again. OUT gets
``distillation.json``; the table has means over seeds ± the standard deviation.
"""

from __future__ import annotations

import dataclasses
import statistics
from dataclasses import dataclass

import network_search
import tyro

from traqpoint.files import write_json
from traqpoint.training.config import DescriptorConfig, TeachersConfig
from traqpoint.training.runs import train_descriptor

E64, BOTH = ("edgepoint2-E64",), ("edgepoint2-E64", "edgepoint2-M64")
VARIANTS: dict[str, tuple[tuple[str, ...], tuple[tuple[str, float], ...]]] = {
    "contrast only": ((), (("contrast", 1.0),)),
    "one teacher only": (E64, (("cosine", 1.0),)),
    "one teacher and contrast": (E64, (("cosine", 4.0), ("contrast", 1.0))),
    "two teachers and contrast": (BOTH, (("cosine", 4.0), ("contrast", 1.0))),
    "two teachers, similarities": (BOTH, (("similarity", 1.0),)),
}
"""Name -> teachers, and losses with their weights."""


@dataclass(frozen=True)
class Options(network_search.Options):
    """What to train, and where to judge it."""

    only: tuple[str, ...] = tuple(VARIANTS)
    """Variants."""
    network: str = "t"
    """One of network_candidates.py."""
    steps: int = 600
    """Updates of each."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of each variant."""


def run(variant: str, seed: int, options: Options) -> dict[str, float]:
    """Train one variant with one seed, and judge it."""
    name = f"{variant.replace(',', '').replace(' ', '-')}-{seed}"
    base = network_search.training(options.network, dataclasses.replace(options, seed=seed))
    names, losses = VARIANTS[variant]
    # Without taught points, as many are drawn.
    points = 0 if names else base.data.homography.taught_points
    config = dataclasses.replace(
        base,
        out=options.out / "runs" / name,
        descriptor=DescriptorConfig(losses=losses, points_per_frame=points),
        teachers=dataclasses.replace(base.teachers, names=names) if names else TeachersConfig(),
    )
    weights = config.out / "descriptor.safetensors"
    if not weights.exists():
        train_descriptor(config)
    method = network_search.as_named(weights, name, options.out)
    return network_search.judged(method, options.data, options.peers, options.out)


def main(options: Options) -> None:
    rows: dict[str, dict[str, list[float]]] = {}
    for seed in options.seeds:
        for variant in options.only:
            for name, value in run(variant, seed, options).items():
                rows.setdefault(variant, {}).setdefault(name, []).append(value)
            protocol = {"network": options.network, "steps": options.steps, "photos": options.max_photos}
            write_json(options.out / "distillation.json", {"protocol": protocol, "seeds": options.seeds, "rows": rows})
            print(seed, variant, {name: round(values[-1], 3) for name, values in rows[variant].items()}, flush=True)
    columns = list(next(iter(rows.values())))
    print("| trained by | " + " | ".join(columns) + " |\n|---|" + "---|" * len(columns))
    for variant, row in rows.items():
        print(f"| {variant} | " + " | ".join(_spread(row[name]) for name in columns) + " |")


def _spread(values: list[float]) -> str:
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values) if len(values) > 1 else 0:.3f}"


if __name__ == "__main__":
    main(tyro.cli(Options))
