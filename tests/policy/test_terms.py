"""Terms, combinations and gates by name: the package's, and those of a user who edits nothing of it."""

import gc
import subprocess
import sys
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from traqpoint.cli.options import parse
from traqpoint.cli.train import Policy
from traqpoint.data.worlds.source import Worlds, WorldsConfig
from traqpoint.errors import ConfigError
from traqpoint.policy.build import build_term, check_terms
from traqpoint.policy.combination import mean, product, total
from traqpoint.policy.config import PolicyConfig, changed
from traqpoint.policy.frame import FrameMaps, Points
from traqpoint.policy.objective import objective
from traqpoint.policy.presets import PRESETS
from traqpoint.policy.redetection import Redetection
from traqpoint.policy.reward import track_reward
from traqpoint.policy.reward_config import RewardConfig
from traqpoint.policy.terms import TERMS, MapTerm, Term
from traqpoint.types import PointState, WarpedPoints

pytestmark = pytest.mark.usefixtures("device")

MINE = f"{Path(__file__).resolve().parents[2] / 'examples' / 'reward_term.py'}:Prominence"


class Still:
    """Nothing moves, and every point is seen."""

    def warp(self, source, target, xy):
        return WarpedPoints(xy, torch.full(xy.shape[:-1], int(PointState.VISIBLE)))


@dataclass(frozen=True)
class Counting(MapTerm):
    """The policy's logits, and how often they were asked for."""

    prepared_frames: ClassVar[list] = []

    def prepare(self, frame):
        self.prepared_frames.append(frame)
        return frame.policy


class Half(Term):
    """The same everywhere: half of what there is to earn."""

    def __call__(self, source, target, warped, judged):
        return torch.full(judged.shape, 0.5)


class Follows(MapTerm):
    """The target's logits, gradient and all."""

    target_gradient = True

    def prepare(self, frame):
        return frame.policy.sigmoid()


@dataclass(frozen=True)
class Needs(Half):
    """A term that cannot be without a parameter."""

    share: float


HERE = {"tests:Needs": Needs, "tests:Counting": Counting, "tests:Half": Half, "tests:Follows": Follows}


@pytest.fixture(autouse=True)
def known(monkeypatch):
    monkeypatch.setattr(TERMS, "_known", {**TERMS._known, **HERE})
    Counting.prepared_frames.clear()
    build_term.cache_clear()


def two_frames(side=24):
    torch.manual_seed(0)
    return [FrameMaps(torch.randn(1, side, side), torch.randn(1, 8, side, side)) for _ in range(2)]


def earned(config, frames=None):
    frames = frames or two_frames()
    points = Points(frames[0], torch.rand(1, 20, 2) * 20 + 2)
    return track_reward(points, 0, frames, Still(), config).reward


def test_a_combination_weighs_its_terms():
    a, b = torch.tensor([0.0, 0.5, 1.0]), torch.tensor([1.0, 0.0, 1.0])
    assert product([a, b], (1.0, 0.8)).tolist() == pytest.approx([0, 0.1, 1])
    assert mean([a, b], (3.0, 1.0)).tolist() == pytest.approx([0.25, 0.375, 1])
    assert total([a, b], (2.0, 1.0)).tolist() == pytest.approx([1, 1, 3])
    assert all(torch.equal(f([a], (1.0,)), a) for f in (product, mean, total))


def test_a_frame_is_prepared_once_and_only_if_it_is_a_target():
    frames = two_frames()
    config = RewardConfig(terms=(("tests:Counting", 1.0),))
    for _ in range(3):
        earned(config, frames)
    assert Counting.prepared_frames == [frames[1]]


def test_a_gate_lets_through_where_its_term_is_above_a_half():
    free = RewardConfig(terms=(("redetection", 1.0),))
    assert earned(changed(free, gates=("tests:Half",))).abs().max() == 0
    assert earned(free).min() > 0


def test_a_term_is_a_constant_to_the_gradient_unless_it_asks_for_one():
    for name, follows in (("tests:Counting", False), ("tests:Follows", True), ("redetection", False)):
        frames = two_frames()
        frames[1].policy.requires_grad_()
        assert earned(RewardConfig(terms=((name, 1.0),)), frames).requires_grad == follows


def test_a_term_has_the_parameters_of_its_configuration():
    config = changed(RewardConfig(), redetection={"window_px": 7})
    assert build_term("redetection", config) == Redetection(window_px=7)
    assert build_term(MINE, RewardConfig(options=(("Prominence.radius_px", 2.0),))).radius_px == 2
    assert build_term(MINE, RewardConfig()).radius_px == 4


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: RewardConfig(terms=(("redetektion", 1.0),)), "unknown reward term 'redetektion'; known are redetec"),
        (lambda: RewardConfig(gates=("similar",)), "unknown reward term 'similar'"),
        (lambda: RewardConfig(combination="median"), "unknown combination 'median'; known are product, mean, sum"),
        (lambda: RewardConfig(terms=()), "at least one"),
        (lambda: RewardConfig(terms=(("rank", 1.0), ("rank", 2.0))), "named twice"),
        (lambda: RewardConfig(terms=(("rank", 0.0),)), "the weight of rank must be positive, got 0"),
        (lambda: check_terms(RewardConfig(terms=(("nothing.here:Term", 1.0),))), "nothing.here: cannot be imported"),
        (lambda: check_terms(RewardConfig(terms=(("pathlib:Path", 1.0),))), "pathlib:Path is no reward term"),
        (lambda: check_terms(RewardConfig(options=(("Prominence.radius_px", 2),))), "Prominence.radius_px is of no"),
        (lambda: mine(("Prominence.radius", 2.0)), "has no parameter 'radius'; known are radius_px"),
        (lambda: mine(("Prominence.radius_px", "wide")), "Prominence.radius_px must be int, got 'wide'"),
        (lambda: mine(("Prominence.radius_px", True)), "Prominence.radius_px must be int, got True"),
        (lambda: check_terms(RewardConfig(terms=(("tests:Needs", 1.0),))), "tests:Needs: Needs.__init__() missing 1"),
        (lambda: mine(("Prominence.radius_px", 2.5)), "Prominence.radius_px must be int, got 2.5"),
    ],
)
def test_what_cannot_be_a_reward_is_refused_by_name(build, message):
    with pytest.raises(ConfigError) as caught:
        build()
    assert message in str(caught.value)


def mine(*options):
    check_terms(RewardConfig(terms=((MINE, 1.0),), options=options))


@pytest.mark.parametrize("preset", PRESETS)
def test_the_maps_of_a_batch_go_with_its_loss(preset, monkeypatch, device):
    """Nothing of them waits for the garbage collector: they hold the graph of the network."""
    made = []
    watched = lambda *args: made.append(weakref.ref(frame := FrameMaps(*args))) or frame  # noqa: E731
    monkeypatch.setattr("traqpoint.policy.objective.FrameMaps", watched)
    sequence = Worlds(WorldsConfig((64, 64), num_frames=2, num_textures=2, texture_size=64))
    geometry = sequence.sample(1, torch.Generator().manual_seed(0)).geometry.to(device)
    gc.disable()
    try:
        logits = torch.randn(1, 2, 64, 64, requires_grad=True)
        objective(logits, torch.randn(1, 2, 8, 16, 16), geometry, PRESETS[preset], torch.Generator().manual_seed(1))
        assert len(made) == 2 and not any(frame() for frame in made)
    finally:
        gc.enable()


@pytest.mark.parametrize("preset", PRESETS)
def test_a_term_from_outside_joins_every_estimator(preset, device):
    config = changed(PRESETS[preset], reward={"terms": (("redetection", 1.0), (MINE, 0.5))})
    batch = Worlds(WorldsConfig((64, 64), num_frames=3, num_textures=2, texture_size=64)).sample(
        1, torch.Generator().manual_seed(0)
    )
    logits = torch.randn(1, 3, 64, 64, requires_grad=True)
    generator = torch.Generator().manual_seed(1)
    loss, stats = objective(logits, torch.randn(1, 3, 8, 16, 16), batch.geometry.to(device), config, generator)
    loss.backward()
    assert torch.isfinite(loss) and stats["reward"] > 0 and logits.grad.abs().max() > 0


@pytest.mark.slow
def test_a_term_from_outside_trains_from_the_command_line(tmp_path, capsys):
    """What the example's first lines say, for two steps."""
    from traqpoint.cli.main import main

    worlds = {"image-size": "64 64", "num-frames": "2", "num-textures": "2", "texture-size": "64", "num-objects": "2"}
    given = [word for key, value in worlds.items() for word in (f"--data.worlds.{key}", *value.split())]
    reward = ["--policy.reward.terms", "redetection", "1", MINE, "0.5"]
    options = ["--policy.reward.options", "Prominence.radius_px", "6", "--policy.warmup.share", "0"]
    loop = ["--loop.steps", "2", "--loop.batch-size", "1", "--loop.device", "cpu"]
    data = ["--data.mixture", "worlds", "1", *given]
    run = ["train", "policy", "--descriptor", "traqpoint-s", "--out", str(tmp_path / "run")]
    assert main([*run, *data, *loop, *reward, *options]) == 0
    assert (tmp_path / "run" / "traqpoint.safetensors").is_file()
    assert "Prominence.radius_px" in (tmp_path / "run" / "config.yaml").read_text()


def test_a_misspelt_parameter_is_named_before_the_folder_is_taken(tmp_path, capsys):
    from traqpoint.cli.main import main

    wrong = ["--policy.reward.terms", MINE, "1", "--policy.reward.options", "Prominence.radius", "6"]
    run = ["train", "policy", "--descriptor", "traqpoint-s", "--out", str(tmp_path / "run"), "--data.mixture", "worlds"]
    assert main([*run, "1", *wrong]) == 1
    assert "has no parameter 'radius'" in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_terms_and_options_can_stand_in_a_file(tmp_path):
    (tmp_path / "policy.yaml").write_text(
        f"policy: {{reward: {{terms: {{rank: 1, '{MINE}': 0.5}}, options: {{Prominence.radius_px: 6}}}}}}"
    )
    common = ["--descriptor", "d", "--out", "o", "--data.mixture", "worlds", "1"]
    reward = parse(Policy, [*common, "--config", str(tmp_path / "policy.yaml")], "prog").policy.reward
    assert reward == RewardConfig(terms=(("rank", 1.0), (MINE, 0.5)), options=(("Prominence.radius_px", 6.0),))


def test_changed_reaches_into_nested_configurations_and_leaves_the_rest():
    policy = changed(PolicyConfig(), estimator="sampled", reward={"rank": {"floor": 0.1}})
    assert (policy.estimator, policy.reward.rank.floor, policy.reward.rank.window_px) == ("sampled", 0.1, 31)
    with pytest.raises(TypeError):
        changed(PolicyConfig(), reward={"rank": {"flor": 0.1}})


def test_configurations_and_the_names_of_terms_need_no_torch():
    code = "import sys, traqpoint.policy.presets; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
