"""benchmarks/policy_comparison.py: goes on where it was broken off, and every variant sees what it says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from traqpoint.errors import ConfigError
from traqpoint.policy.presets import PRESETS

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def comparison(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import policy_comparison

    return policy_comparison


@pytest.fixture
def options(comparison, tmp_path):
    rng = np.random.default_rng(0)
    for folder in ("train", "val"):
        (tmp_path / folder).mkdir()
        for i in range(2):
            coarse = Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8))
            coarse.resize((120, 120), Image.Resampling.NEAREST).save(tmp_path / folder / f"{i}.png")

    def make(**changes):
        defaults = {
            "photos": tmp_path / "train",
            "val": tmp_path / "val",
            "work": tmp_path / "work",
            "out": tmp_path / "rows.json",
            "variants": ("initial", "traqpoint"),
            "seeds": 1,
            "steps": 2,
            "warmup_steps": 1,
            "image_size": 64,
            "pool": 2,
            "val_photos": 2,
            "max_keypoints": 20,
            "workers": 1,
        }
        return comparison.Options(**{**defaults, **changes})

    return make


@pytest.mark.slow
@pytest.mark.parametrize("source", ["homography", "worlds"])
def test_a_finished_run_is_kept_and_the_same_command_goes_on(comparison, options, source, capsys):
    comparison.main(options(source=source, variants=("initial",), out=None))
    first = options().work / "rows" / "initial-0.json"
    written = first.stat().st_mtime_ns
    comparison.main(options(source=source))
    assert first.stat().st_mtime_ns == written
    rows = json.loads(options().out.read_text())["rows"]
    assert [row["variant"] for row in rows] == ["initial", "traqpoint"]
    assert all(np.isfinite(row["completeness"]) and np.isfinite(row["completeness_worlds"]) for row in rows)
    assert "| **traqpoint** |" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="another configuration"):
        comparison.main(options(source=source, steps=3))


def test_sequences_too_short_for_a_variant_are_named_before_anything_is_trained(comparison, options):
    with pytest.raises(ConfigError, match="eight: sequences of worlds have 5 frames"):
        comparison.main(options(source="worlds", variants=("initial", "eight")))
    assert not options().work.exists()


def test_frames_are_chosen_as_the_variant_says(comparison):
    def chosen(frames, T=2):
        variant = comparison.Variant(PRESETS["traqpoint"], "", "sequence", num_frames=T, frames=frames)
        return comparison.choose_frames(variant, 400, 5, torch.Generator().manual_seed(0))

    assert chosen("first", 3).unique(dim=0).tolist() == [[0, 1, 2]]
    neighbours = chosen("neighbours")
    assert (neighbours[:, 1] - neighbours[:, 0] == 1).all() and neighbours[:, 0].unique().tolist() == [0, 1, 2, 3]
    assert len(chosen("any").unique(dim=0)) == 10  # of five frames
    assert chosen("any", 5).unique(dim=0).tolist() == [[0, 1, 2, 3, 4]]


@pytest.mark.slow
def test_a_batch_is_the_frames_of_the_sources_sequence(comparison, options):
    config = options(source="worlds")
    pool = torch.load(comparison.build_pool(config), weights_only=False)
    generator = torch.Generator().manual_seed(12345)
    source = comparison.training_source(config)
    source.sample(1, generator)
    second = source.sample(1, generator)
    batch, (descriptors,) = comparison.batch_of(pool, [1], torch.tensor([[4, 2]]))
    assert (batch.images - second.images[:, [4, 2]]).abs().max() <= 0.5 / 255 + 1e-6
    xy = torch.tensor([[[31.0, 33.0], [10.0, 50.0]]])
    found, truth = batch.geometry.warp(0, 1, xy), second.geometry.warp(4, 2, xy)
    torch.testing.assert_close(found.xy, truth.xy, equal_nan=True)
    assert found.state.tolist() == truth.state.tolist()
    assert descriptors.shape[:2] == (2, 64)


def test_tables_say_the_spread_and_the_paired_differences(comparison):
    import policy_tables

    def row(variant, seed, completeness):
        return {"variant": variant, "seed": seed, "completeness": completeness, "train_cpu_s": 3.2}

    rows = [row("paper", 0, 0.2), row("paper", 1, 0.4), row("traqpoint", 0, 0.5), row("traqpoint", 2, 0.9)]
    line = next(x for x in policy_tables.report(rows).splitlines() if x.startswith("| paper |"))
    assert line.split(" | ")[2:] == ["2", "0.300 ± 0.141", "traqpoint: -0.300", "3 |"]


@pytest.mark.parametrize(("name", "lengths"), [("paper", (16, 16, 40, 30, 63)), ("traqpoint", (16, 16, 16, 16, 31))])
def test_at_another_size_the_papers_lengths_scale_and_ours_stay(name, lengths):
    """Strides of the descriptors compared; cells, tiles, and the rank's window."""
    from policy_variants import at_size

    policy = at_size(PRESETS[name], 480)
    strides = policy.reward.distinctiveness.stride, policy.reward.similarity.stride
    sides = policy.sampling.cell_px, policy.entropy.tile_px, policy.reward.rank.window_px
    assert (*strides, *sides) == lengths
