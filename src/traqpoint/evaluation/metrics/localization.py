"""How many queries are localized how exactly."""

from __future__ import annotations

import numpy as np

THRESHOLDS = ((0.25, 2.0), (0.5, 5.0), (5.0, 10.0))
"""Metres and degrees, of the Aachen Day-Night benchmark."""


def recall_stats(position: np.ndarray, rotation: np.ndarray, unit: str) -> dict[str, float]:
    """Share of queries within each pair of thresholds, and medians. position, rotation (Q,): inf for a failure."""
    stats = {
        f"recall_{distance:g}{unit}_{angle:g}deg": float(((position <= distance) & (rotation <= angle)).mean())
        for distance, angle in THRESHOLDS
    }
    stats[f"position_error_median_{unit}"] = float(np.median(position))
    return {**stats, "rotation_error_median_deg": float(np.median(rotation))}
