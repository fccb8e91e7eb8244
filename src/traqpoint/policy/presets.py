"""Named configurations: ours, the paper's and the released code's, for frames of 240 px, and the way between them."""

from __future__ import annotations

from dataclasses import replace

from traqpoint.policy.config import PolicyConfig

PAPER = PolicyConfig(
    estimator="sampled",
    references="first",
    inverse_temperature=1.0,
    cell_px=20,
    cell_shift=False,
    global_samples=112,
    consistency="rank",
    combination="mean",
    min_similarity=None,
    credit="image",
    baseline="none",
    normalise="none",
    global_entropy=0.0,
    tile_entropy=0.001,
    tile_px=15,
    warmup_share=0.1,
    warmup_first=False,
)
"""METHOD §2 to §5 as the paper states them; lengths are halved, because it trains at 480 px."""

REFERENCE = replace(
    PAPER,
    replacement=True,
    log_prob="image",
    occluded="zero",
    unknown="judged",
    rank_window_px=30,
    rank_window="cell",
    negatives="samples",
    min_similarity=0.5,
    combination="sum",
    reduction="sum",
    tile_entropy=0.015,
    final_entropy=1 / 3,
)
"""The arithmetic of the released code. Its depth tolerance of 0.2 is a property of the data, not of the policy."""

SAMPLED = PolicyConfig(estimator="sampled", normalise="deviation", global_entropy=0.02)
"""Ours, with REINFORCE in place of the exact expectation."""

PRESETS: dict[str, PolicyConfig] = {
    "traqpoint": PolicyConfig(),
    "paper": PAPER,
    "reference": REFERENCE,
    "sampled": SAMPLED,
}
