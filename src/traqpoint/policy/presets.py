"""Named configurations: ours, the paper's and the released code's, for frames of 240 px, and the way between them."""

from __future__ import annotations

from traqpoint.policy.config import (
    EntropyConfig,
    PolicyConfig,
    SampledConfig,
    SamplingConfig,
    WarmupConfig,
    changed,
)
from traqpoint.policy.reward_config import RewardConfig

PAPER = PolicyConfig(
    estimator="sampled",
    sampling=SamplingConfig(references="first", inverse_temperature=1.0, cell_px=20, cell_shift=False),
    sampled=SampledConfig(global_samples=112, credit="image", baseline="none", normalise=False),
    reward=RewardConfig(terms=(("rank", 1.0), ("distinctiveness", 1.0)), combination="mean"),
    entropy=EntropyConfig(image=0.0, tile=0.001, tile_px=15),
    warmup=WarmupConfig(share=0.1, alone_first=False),
)
"""docs/method.md §2 to §6 as the paper states them; lengths are halved, because it trains at 480 px."""

REFERENCE = changed(
    PAPER,
    sampled={"replacement": True, "log_prob": "image", "reduction": "sum"},
    reward={
        "combination": "sum",
        "gates": ("similarity",),
        "occluded": "zero",
        "unknown": "judged",
        "rank": {"window_px": 30, "window": "cell"},
        "distinctiveness": {"negatives": "samples"},
    },
    entropy={"tile": 0.015, "final": 1 / 3},
)
"""The arithmetic of the released code. Its depth tolerance of 0.2 is a property of the data, not of the policy."""

SAMPLED = PolicyConfig(estimator="sampled", entropy=EntropyConfig(image=0.02))
"""Ours, with REINFORCE in place of the exact expectation."""

PRESETS: dict[str, PolicyConfig] = {
    "traqpoint": PolicyConfig(),
    "paper": PAPER,
    "reference": REFERENCE,
    "sampled": SAMPLED,
}
