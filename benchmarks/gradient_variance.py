"""How noisy is each estimator's gradient? Many draws on one batch, one network, one reward.

    python benchmarks/gradient_variance.py --photos PHOTOS --out benchmarks/results/gradient_variance.json

For each estimator of the *same* reward the gradient of all policy-network parameters is drawn `draws` times. Printed:
the signal, norm of the mean gradient; the noise, root of the trace of the covariance; their ratio for one draw; and the
cosine of one draw and of the mean of all draws to the exact expectation's gradient. Losses are scaled as they are
trained on; ratios and cosines do not depend on that.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from rich.progress import track

from traqpoint.data.config import HomographyConfig
from traqpoint.data.homography import HomographySequences
from traqpoint.data.photos import load_photos
from traqpoint.models.layers import frozen
from traqpoint.models.traqpoint import TraqPoint
from traqpoint.policy.config import EntropyConfig, ExactConfig, PolicyConfig, SampledConfig, SamplingConfig, changed
from traqpoint.policy.objective import objective
from traqpoint.training.policy_step import frozen_maps

EXACT = PolicyConfig(
    exact=ExactConfig(pixel_stride=1, image_weight=0.2, normalise=False),
    sampling=SamplingConfig(cell_shift=False),
    sampled=SampledConfig(baseline="none", replacement=True, normalise=False),
    entropy=EntropyConfig(image=0.0),
)
"""Global draws are a fifth of all draws in the sampled forms (56 of 281)."""
SAMPLED = changed(EXACT, estimator="sampled")
ESTIMATORS: dict[str, PolicyConfig] = {
    "exact, every pixel": EXACT,
    "exact, lattice of every 2nd": changed(EXACT, exact={"pixel_stride": 2}),
    "exact, lattice of every 4th": changed(EXACT, exact={"pixel_stride": 4}),
    "credit per point, leave-one-out": changed(SAMPLED, sampled={"baseline": "leave_one_out"}),
    "credit per point, stratum": changed(SAMPLED, sampled={"baseline": "stratum"}),
    "credit per point, batch": changed(SAMPLED, sampled={"baseline": "batch"}),
    "credit per point, no baseline": SAMPLED,
    "… leave-one-out, no replacement": changed(SAMPLED, sampled={"baseline": "leave_one_out", "replacement": False}),
    "credit per image, batch": changed(SAMPLED, sampled={"credit": "image", "baseline": "batch"}),
    "credit per image, no baseline (paper)": changed(SAMPLED, sampled={"credit": "image"}),
    "… scored by the image (released code)": changed(SAMPLED, sampled={"credit": "image", "log_prob": "image"}),
}


@dataclass(frozen=True)
class Options:
    """What to measure on."""

    photos: Path
    """Folder of photographs."""
    weights: str = "traqpoint-s-v1"
    """Model: its descriptor, and the policy whose gradient is drawn."""
    term: str = "redetection"
    """Reward: this times distinctiveness."""
    draws: int = 32
    """Gradients per estimator."""
    batch_size: int = 2
    """Sequences of five frames at 240 px."""
    seed: int = 0
    """Of the batch and the draws."""
    out: Path | None = None
    """Rows as JSON."""


def main(options: Options) -> None:
    source = HomographySequences(load_photos(options.photos, limit=100), HomographyConfig())
    batch = source.sample(options.batch_size, torch.Generator().manual_seed(options.seed))
    model = frozen(TraqPoint.from_pretrained(options.weights))
    parameters = [p.requires_grad_() for p in model.detector.parameters()]
    B, T = batch.images.shape[:2]
    images = batch.images.flatten(0, 1)
    maps = frozen_maps(images, model)
    descriptors = model.descriptor.dense(maps).unflatten(0, (B, T))

    def gradient(config: PolicyConfig, seed: int) -> torch.Tensor:
        config = changed(config, reward={"terms": ((options.term, 1.0), ("distinctiveness", 0.8))})
        # Only the objective is drawn anew; the graph of the network is the same and kept.
        loss, _ = objective(logits, descriptors, batch.geometry, config, torch.Generator().manual_seed(seed))
        parts = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        return torch.cat([g.flatten() for g in parts if g is not None])

    logits = model.detector(images, maps).unflatten(0, (B, T))[:, :, 0]
    exact = gradient(EXACT, 0)
    rows = {}
    for name, config in track(ESTIMATORS.items(), description="estimators"):
        count = 1 if name.endswith("every pixel") else options.draws
        draws = torch.stack(
            [gradient(config, 100 + k) for k in range(1 if name.endswith("every pixel") else options.draws)]
        )
        mean = draws.mean(0)
        noise = float((draws - mean).square().sum(1).sum().div(max(1, count - 1)).sqrt())
        signal_squared = float(mean.square().sum()) - noise**2 / count  # |mean|² holds the noise of the mean, too
        cosine = torch.nn.functional.cosine_similarity
        rows[name] = {
            "signal": max(0.0, signal_squared) ** 0.5,
            "noise": noise,
            "snr": max(0.0, signal_squared) ** 0.5 / noise if noise else float("inf"),
            "cosine_one": float(cosine(draws, exact[None]).mean()),
            "cosine_mean": float(cosine(mean, exact, dim=0)),
        }
    print("| estimator | signal / noise of one draw | cosine of one draw | of the mean of all |\n|---|---|---|---|")
    for name, r in rows.items():
        print(f"| {name} | {r['snr']:.3f} | {r['cosine_one']:.3f} | {r['cosine_mean']:.3f} |")
    if options.out is not None:
        protocol = {k: v for k, v in vars(options).items() if not isinstance(v, Path)}
        content = {"protocol": protocol, "torch": torch.__version__, "rows": rows}
        options.out.write_text(json.dumps(content, indent=1).replace("Infinity", "null") + "\n")


if __name__ == "__main__":
    main(tyro.cli(Options))
