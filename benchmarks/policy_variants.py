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
    against: str = "traqpoint"
    """The variant that it is compared with seed by seed."""
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
BOTH = replace(OURS, global_weight=0.2)
"""With the image-wide term: the default before this comparison. Terms were taken from it one by one, and without this
one it is better; what was measured around it stays as it was measured."""
EXACT_RANK = replace(BOTH, consistency="rank", combination="mean")

VARIANTS: dict[str, Variant] = {
    "untrained": Variant(None, "random weights", "no reward", kind="untrained"),
    "initial": Variant(None, "short warm-up: where all others start", "no reward", kind="initial"),
    "warmup": Variant(None, "imitation of FAST for the whole budget", "no reward", kind="warmup"),
    "reference": Variant(REFERENCE, "the released code's arithmetic", "estimator", learning_rate=2e-4),
    "reference-lr": Variant(REFERENCE, "reference, learning rate 3e-3", "estimator"),
    "paper": Variant(PAPER, "the paper's estimator and rewards", "estimator", learning_rate=2e-4),
    "paper-lr": Variant(PAPER, "paper, learning rate 3e-3", "estimator"),
    "paper-point": Variant(POINT, "paper + credit per point, leave-one-out baseline", "estimator"),
    "paper-sharp": Variant(SHARP, "paper-point + logits times 8, every frame a reference", "estimator"),
    "exact-rank": Variant(EXACT_RANK, "exact expectation of the paper's reward", "estimator"),
    "sampled": Variant(
        SAMPLED, "re-detection reward, REINFORCE per point, learning rate 1e-3", "estimator", learning_rate=1e-3
    ),
    "sampled-lr": Variant(SAMPLED, "sampled, learning rate 3e-3", "estimator"),
    "image-term": Variant(
        BOTH, "exact expectation of the re-detection reward, in cells and over the image", "estimator"
    ),
    "no-warmup": Variant(
        BOTH, "image-term from random weights, no warm-up", "estimator", "image-term", start="untrained"
    ),
    "traqpoint": Variant(OURS, "exact expectation of the re-detection reward in cells", "estimator"),
    "rank": Variant(replace(BOTH, consistency="rank"), "rank instead of re-detection", "term", "image-term"),
    "maximum": Variant(
        replace(BOTH, consistency="maximum"), "distance to the nearest maximum instead", "term", "image-term"
    ),
    "no-distinctiveness": Variant(
        replace(BOTH, combination="consistency"), "without distinctiveness", "term", "image-term"
    ),
    "no-consistency": Variant(
        replace(BOTH, combination="distinctiveness"), "without consistency", "term", "image-term"
    ),
    "no-scale": Variant(replace(BOTH, normalise="none"), "rewards not scaled per image", "term", "image-term"),
    "image-term-1": Variant(
        replace(OURS, global_weight=1.0), "image-wide term weighs 1 instead of 0.2", "term", "image-term"
    ),
    "no-entropy": Variant(replace(BOTH, global_entropy=0.0), "no entropy", "term", "image-term"),
    "no-shift": Variant(replace(BOTH, cell_shift=False), "fixed grid of cells", "term", "image-term"),
    "sample-negatives": Variant(
        replace(BOTH, negatives="samples"), "negatives among the candidates only", "term", "image-term"
    ),
    "blunt": Variant(replace(BOTH, inverse_temperature=1.0), "logits times 1", "term", "image-term"),
    "target-gradient": Variant(
        replace(BOTH, target_gradient=True), "+ gradient of the target's choice", "term", "image-term"
    ),
    "every-pixel": Variant(replace(BOTH, pixel_stride=1), "every pixel instead of every second", "term", "image-term"),
    "first-reference": Variant(
        replace(BOTH, references="first"), "only the first frame is a reference", "term", "image-term"
    ),
    "geometric": Variant(
        replace(BOTH, aggregation="geometric"),
        "geometric mean over frames: found in all of them",
        "sequence",
        "image-term",
    ),
    "pairs": Variant(
        BOTH, "pairs (T = 2), as many frames: 2.5 times the scenes", "sequence", "image-term", num_frames=2
    ),
    "pairs-same-scenes": Variant(
        BOTH, "pairs of the sequences that T = 5 sees", "sequence", "image-term", num_frames=2, batch_size=2
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
        SAMPLED, "sampled-lr with pairs of any two frames", "sequence", "sampled-lr", num_frames=2, frames="any"
    ),
    "sharp-pairs": Variant(
        SHARP, "paper-sharp with pairs of any two frames", "sequence", "paper-sharp", num_frames=2, frames="any"
    ),
    "three": Variant(BOTH, "T = 3", "sequence", "image-term", num_frames=3),
    "eight": Variant(BOTH, "T = 8", "sequence", "image-term", num_frames=8),
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
