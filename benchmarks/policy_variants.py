"""What policy_comparison.py compares: each variant flips few fields, and says which."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from traqpoint.policy.config import PolicyConfig
from traqpoint.policy.presets import PAPER, PRESETS, REFERENCE, SAMPLED


@dataclass(frozen=True)
class Variant:
    """One training run, but for its seed."""

    policy: PolicyConfig | None
    """None: no reward, see `kind`."""
    what: str
    """One line for the table."""
    group: Literal["no reward", "estimator", "term", "sequence"]
    """Part of the table."""
    learning_rate: float = 3e-3
    """Peak. 3e-3 is our default, 2e-4 the paper's."""
    num_frames: int = 5
    """T of the sequences."""
    batch_size: int | None = None
    """Sequences per step; by default as many as give ten frames, and as many steps as give every run the same number of
    frames. With a number, as many steps as T = 5 takes."""
    frames: Literal["first", "any", "neighbours"] = "first"
    """Which T frames of a sequence of the pool: the first, any, or any in a row."""
    start: Literal["initial", "untrained"] = "initial"
    """Weights at the first step: after the short warm-up that all share, or random ones."""
    kind: Literal["policy", "warmup", "initial", "untrained"] = "policy"
    """policy: trained by rewards. warmup: trained on by imitation for the whole budget. initial: what all variants
    start from. untrained: random weights."""


OURS = PRESETS["traqpoint"]
POINT = replace(PAPER, credit="point", baseline="leave_one_out", normalise="deviation")
SHARP = replace(POINT, inverse_temperature=8.0, references="all")
EXACT_RANK = replace(OURS, consistency="rank", combination="mean")

VARIANTS: dict[str, Variant] = {
    "untrained": Variant(None, "random weights", "no reward", kind="untrained"),
    "initial": Variant(None, "short warm-up: where all others start", "no reward", kind="initial"),
    "warmup": Variant(None, "imitation of FAST for the whole budget", "no reward", kind="warmup"),
    "reference": Variant(REFERENCE, "the released code's arithmetic", "estimator", 2e-4),
    "reference-lr": Variant(REFERENCE, "the same, learning rate 3e-3", "estimator"),
    "paper": Variant(PAPER, "the paper's estimator and rewards", "estimator", 2e-4),
    "paper-lr": Variant(PAPER, "the same, learning rate 3e-3", "estimator"),
    "paper-point": Variant(POINT, "paper + credit per point, leave-one-out baseline", "estimator"),
    "paper-sharp": Variant(SHARP, "… + logits times 8, every frame a reference", "estimator"),
    "exact-rank": Variant(EXACT_RANK, "exact expectation of the paper's reward", "estimator"),
    "sampled": Variant(SAMPLED, "re-detection reward, REINFORCE per point", "estimator", 1e-3),
    "sampled-lr": Variant(SAMPLED, "the same, learning rate 3e-3", "estimator"),
    "traqpoint": Variant(OURS, "exact expectation of the re-detection reward", "estimator"),
    "no-warmup": Variant(OURS, "the same from random weights, no warm-up", "estimator", start="untrained"),
    "rank": Variant(replace(OURS, consistency="rank"), "rank instead of re-detection", "term"),
    "maximum": Variant(replace(OURS, consistency="maximum"), "distance to the nearest maximum instead", "term"),
    "no-distinctiveness": Variant(replace(OURS, combination="consistency"), "without distinctiveness", "term"),
    "no-consistency": Variant(replace(OURS, combination="distinctiveness"), "without consistency", "term"),
    "no-scale": Variant(replace(OURS, normalise="none"), "rewards not scaled per image", "term"),
    "no-image-term": Variant(replace(OURS, global_weight=0.0), "cells only, no image-wide term", "term"),
    "image-term-1": Variant(replace(OURS, global_weight=1.0), "image-wide term weighs 1 instead of 0.2", "term"),
    "no-entropy": Variant(replace(OURS, global_entropy=0.0), "no entropy", "term"),
    "no-shift": Variant(replace(OURS, cell_shift=False), "fixed grid of cells", "term"),
    "sample-negatives": Variant(replace(OURS, negatives="samples"), "negatives among the candidates only", "term"),
    "blunt": Variant(replace(OURS, inverse_temperature=1.0), "logits times 1", "term"),
    "target-gradient": Variant(replace(OURS, target_gradient=True), "+ gradient of the target's choice", "term"),
    "every-pixel": Variant(replace(OURS, pixel_stride=1), "every pixel instead of every second", "term"),
    "first-reference": Variant(replace(OURS, references="first"), "only the first frame is a reference", "term"),
    "geometric": Variant(
        replace(OURS, aggregation="geometric"), "geometric mean over frames: found in all of them", "sequence"
    ),
    "pairs": Variant(OURS, "pairs (T = 2), as many frames: 2.5 times the scenes", "sequence", num_frames=2),
    "pairs-same-scenes": Variant(
        OURS, "pairs of the sequences that T = 5 sees", "sequence", num_frames=2, batch_size=2
    ),
    "pairs-any": Variant(OURS, "pairs of any two frames", "sequence", num_frames=2, frames="any"),
    "pairs-neighbours": Variant(OURS, "pairs of successive frames", "sequence", num_frames=2, frames="neighbours"),
    "pairs-any-same-scenes": Variant(
        OURS,
        "pairs of any two frames of the sequences that T = 5 sees",
        "sequence",
        num_frames=2,
        batch_size=2,
        frames="any",
    ),
    "sampled-pairs": Variant(
        SAMPLED, "sampled-lr with pairs of any two frames", "sequence", num_frames=2, frames="any"
    ),
    "sharp-pairs": Variant(SHARP, "paper-sharp with pairs of any two frames", "sequence", num_frames=2, frames="any"),
    "three": Variant(OURS, "T = 3", "sequence", num_frames=3),
    "eight": Variant(OURS, "T = 8", "sequence", num_frames=8),
}


def at_size(policy: PolicyConfig, image_size: int) -> PolicyConfig:
    """The policy for frames of another side than 240 px.

    The paper's cells, tiles and windows are shares of the frame, ours are pixels; the grid of descriptors that are
    compared stays as large as it is.
    """
    factor = image_size / 240
    policy = replace(policy, candidate_stride=round(policy.candidate_stride * factor))
    if policy.consistency != "rank":
        return policy
    window = round(policy.rank_window_px * factor)
    return replace(
        policy,
        cell_px=round(policy.cell_px * factor),
        tile_px=round(policy.tile_px * factor),
        rank_window_px=window if policy.rank_window == "cell" else window // 2 * 2 + 1,
    )
