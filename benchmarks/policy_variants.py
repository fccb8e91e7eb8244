"""What policy_comparison.py compares: each variant flips few fields, and says which."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from traqpoint.policy.config import PolicyConfig, changed
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
POINT = changed(PAPER, sampled={"credit": "point", "baseline": "leave_one_out", "normalise": True})
SHARP = changed(POINT, sampling={"inverse_temperature": 8.0, "references": "all"})
BOTH = changed(OURS, exact={"image_weight": 0.2})
"""With the image-wide term: the default before this comparison. Terms were taken from it one by one, and without this
one it is better; what was measured around it stays as it was measured."""
REDETECTION, RANK, MAXIMUM = ("redetection", 1.0), ("rank", 1.0), ("maximum", 1.0)
DISTINCTIVENESS = ("distinctiveness", 0.8)
EXACT_RANK = changed(BOTH, reward={"terms": PAPER.reward.terms, "combination": "mean"})

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
    "rank": Variant(
        changed(BOTH, reward={"terms": (RANK, DISTINCTIVENESS)}), "rank instead of re-detection", "term", "image-term"
    ),
    "maximum": Variant(
        changed(BOTH, reward={"terms": (MAXIMUM, DISTINCTIVENESS)}),
        "distance to the nearest maximum instead",
        "term",
        "image-term",
    ),
    "no-distinctiveness": Variant(
        changed(BOTH, reward={"terms": (REDETECTION,)}), "without distinctiveness", "term", "image-term"
    ),
    "no-consistency": Variant(
        changed(BOTH, reward={"terms": (("distinctiveness", 1.0),)}), "without re-detection", "term", "image-term"
    ),
    "no-scale": Variant(
        changed(BOTH, exact={"normalise": False}), "rewards not scaled per image", "term", "image-term"
    ),
    "image-term-1": Variant(
        changed(OURS, exact={"image_weight": 1.0}), "image-wide term weighs 1 instead of 0.2", "term", "image-term"
    ),
    "no-entropy": Variant(changed(BOTH, entropy={"image": 0.0}), "no entropy", "term", "image-term"),
    "no-shift": Variant(changed(BOTH, sampling={"cell_shift": False}), "fixed grid of cells", "term", "image-term"),
    "sample-negatives": Variant(
        changed(BOTH, reward={"distinctiveness": {"negatives": "samples"}}),
        "negatives among the candidates only",
        "term",
        "image-term",
    ),
    "blunt": Variant(changed(BOTH, sampling={"inverse_temperature": 1.0}), "logits times 1", "term", "image-term"),
    "target-gradient": Variant(
        changed(BOTH, reward={"redetection": {"target_gradient": True}}),
        "+ gradient of the target's choice",
        "term",
        "image-term",
    ),
    "every-pixel": Variant(
        changed(BOTH, exact={"pixel_stride": 1}), "every pixel instead of every second", "term", "image-term"
    ),
    "first-reference": Variant(
        changed(BOTH, sampling={"references": "first"}), "only the first frame is a reference", "term", "image-term"
    ),
    "geometric": Variant(
        changed(BOTH, reward={"aggregation": "geometric"}),
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
    terms = policy.reward
    coarse = {
        name: {"stride": round(getattr(terms, name).stride * factor)} for name in ("distinctiveness", "similarity")
    }
    policy = changed(policy, reward=coarse)
    if "rank" not in dict(terms.terms):
        return policy
    window = round(terms.rank.window_px * factor)
    return changed(
        policy,
        sampling={"cell_px": round(policy.sampling.cell_px * factor)},
        entropy={"tile_px": round(policy.entropy.tile_px * factor)},
        reward={"rank": {"window_px": window if terms.rank.window == "cell" else window // 2 * 2 + 1}},
    )
