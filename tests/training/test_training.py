import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from random_inputs import smooth_photo, smooth_picture, write_pictures

from traqpoint.data.config import DataConfig, HomographyConfig
from traqpoint.data.homography import HomographySequences
from traqpoint.data.worlds.config import WorldsConfig
from traqpoint.errors import ConfigError, DataError, FormatError, WeightsError
from traqpoint.geometry.warp import HomographyGeometry
from traqpoint.models.config import ModelConfig
from traqpoint.models.layers import frozen
from traqpoint.models.traqpoint import TraqPoint
from traqpoint.policy.config import changed
from traqpoint.policy.objective import objective
from traqpoint.policy.presets import PRESETS
from traqpoint.training.config import (
    DescriptorConfig,
    DescriptorTraining,
    LoopConfig,
    PolicyTraining,
    ValidationConfig,
)
from traqpoint.training.descriptor_step import descriptor_step
from traqpoint.training.losses.contrast import Contrast
from traqpoint.training.losses.lesson import Pair
from traqpoint.training.policy_step import Weights, policy_step, schedule
from traqpoint.training.runs import train_descriptor, train_policy
from traqpoint.training.update import learning_rate
from traqpoint.types import PointState, SequenceBatch, WarpedPoints

pytestmark = pytest.mark.usefixtures("device")

SMALL = HomographyConfig(image_size=64, num_frames=3)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("photos"), (smooth_picture(96, 96, i) for i in range(3)))


@pytest.fixture(scope="module")
def batch(device):
    source = HomographySequences([smooth_photo(96, 96, i) for i in range(3)], SMALL)
    return source.sample(2, torch.Generator().manual_seed(0)).to(device)


def loop(steps, **options):
    return LoopConfig(steps=steps, batch_size=1, device="cpu", precision="float32", checkpoint_every=2, **options)


def descriptor_run(photos, out, steps, **options):
    small = DescriptorConfig(points_per_frame=64)
    return DescriptorTraining(DataConfig(photos, homography=SMALL), out, loop(steps, **options), small)


def test_true_pairs_with_the_same_descriptor_and_no_other_alike_cost_nothing():
    a = torch.eye(8)[None]
    xy = torch.arange(16.0).reshape(1, 8, 2) * 10
    loss, accuracy = Contrast(inverse_temperature=50).of_pair(Pair(a, a, xy, torch.ones(1, 8).bool()))
    assert loss < 1e-6 and accuracy == 1


def test_unpaired_points_change_no_descriptor_loss():
    torch.manual_seed(0)
    a, b = (torch.nn.functional.normalize(torch.randn(1, 9, 8), dim=-1) for _ in range(2))
    xy = torch.rand(1, 9, 2) * 100
    paired = torch.tensor([[True] * 6 + [False] * 3])
    full, _ = Contrast().of_pair(Pair(a, b, xy, paired))
    cut, _ = Contrast().of_pair(Pair(a[:, :6], b[:, :6], xy[:, :6], paired[:, :6]))
    assert torch.allclose(full, cut, atol=1e-5)


def test_pairs_are_the_same_whatever_the_networks_compute_in(batch, monkeypatch, device):
    """In bfloat16 a projection would be off by a pixel."""
    seen: dict[bool, list] = {False: [], True: []}
    model = TraqPoint().eval().to(device)
    for low in (False, True):

        def record(self, pair, low=low, of_pair=Contrast.of_pair):
            seen[low].append(pair.xy_b)
            return of_pair(self, pair)

        with monkeypatch.context() as patch, torch.autocast("cpu", torch.bfloat16, enabled=low):
            patch.setattr(Contrast, "of_pair", record)
            config = DescriptorConfig(points_per_frame=64, corner_share=0.0)
            descriptor_step(batch, model, config, torch.Generator().manual_seed(0))
    assert seen[True]
    assert all(torch.equal(a, b) for a, b in zip(seen[False], seen[True], strict=True))


def test_where_no_teacher_has_looked_only_the_contrast_counts(batch, device):
    model = TraqPoint().eval().to(device)

    def loss(*losses):
        config = DescriptorConfig(losses=losses, points_per_frame=64)
        return descriptor_step(batch, model, config, torch.Generator().manual_seed(0))

    contrast, stats = loss(("contrast", 1.0))
    both, both_stats = loss(("cosine", 4.0), ("contrast", 1.0))
    assert torch.equal(contrast, both) and stats["loss"] == both_stats["contrast"] and "cosine" not in both_stats
    nothing, _ = loss(("cosine", 4.0))
    assert float(nothing) == 0 and not nothing.requires_grad


def test_the_descriptor_step_lowers_its_own_loss(batch, device):
    torch.manual_seed(0)
    model = TraqPoint().train().to(device)
    optimizer = torch.optim.AdamW(model.descriptor.parameters(), lr=2e-3)
    losses = []
    for _ in range(12):
        loss, _ = descriptor_step(batch, model, DescriptorConfig(points_per_frame=64), torch.Generator().manual_seed(0))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]


def test_points_without_a_known_place_leave_the_gradient_finite(batch, device, monkeypatch):
    model = TraqPoint(ModelConfig(descriptor="pyramid-t", detector="pyramid")).to(device).train()
    known = type(batch.geometry).warp

    def half_unknown(self, i, j, xy):
        warped = known(self, i, j, xy)
        unknown = torch.arange(xy.shape[1], device=xy.device) % 2 == 0
        xy = warped.xy.masked_fill(unknown[None, :, None], torch.nan)
        return WarpedPoints(xy, warped.state.masked_fill(unknown, int(PointState.UNKNOWN)))

    monkeypatch.setattr(type(batch.geometry), "warp", half_unknown)
    loss, _ = descriptor_step(batch, model, DescriptorConfig(points_per_frame=64), torch.Generator().manual_seed(0))
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.descriptor.parameters() if p.grad is not None)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_policy_step_trains_the_detector_and_nothing_else(batch, preset, device):
    torch.manual_seed(0)
    model = TraqPoint().train().to(device)
    frozen(model.descriptor)
    before = {k: v.clone() for k, v in model.descriptor.state_dict().items()}
    loss, stats = policy_step(batch, model, PRESETS[preset], Weights(1.0, 1.0), torch.Generator().manual_seed(0))
    loss.backward()
    assert torch.isfinite(loss) and 0 <= stats["reward"] <= 2  # the released code adds two rewards
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.detector.parameters())
    assert all(p.grad is None for p in model.descriptor.parameters())
    assert all(torch.equal(v, before[k]) for k, v in model.descriptor.state_dict().items())


@pytest.mark.parametrize("network", [ModelConfig(), ModelConfig(descriptor="pyramid-t", detector="pyramid")])
def test_rewards_are_finite_whatever_the_networks_compute_in(batch, network, device, monkeypatch):
    """A pyramid makes its dense descriptors by a network of its own."""
    torch.manual_seed(0)
    model = TraqPoint(network).train().to(device)
    frozen(model.descriptor)
    seen = []

    def record(logits, descriptors, *rest):
        seen.append(descriptors)
        return objective(logits, descriptors, *rest)

    monkeypatch.setattr("traqpoint.training.policy_step.objective", record)
    with torch.autocast(device.type, torch.bfloat16):
        loss, _ = policy_step(batch, model, PRESETS["traqpoint"], Weights(), torch.Generator().manual_seed(0))
    assert torch.isfinite(loss) and seen[0].dtype == torch.float32


@pytest.mark.slow
def test_policy_gradients_raise_the_reward(batch, device):
    torch.manual_seed(0)
    model = TraqPoint().train().to(device)
    frozen(model.descriptor)
    optimizer = torch.optim.AdamW(model.detector.parameters(), lr=2e-3)
    rewards = []
    for i in range(25):
        loss, stats = policy_step(
            batch, model, PRESETS["traqpoint"], Weights(1.0, 0.0), torch.Generator().manual_seed(i)
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rewards.append(stats["reward"])
    assert sum(rewards[-3:]) > 1.3 * sum(rewards[:3])


def test_frames_that_do_not_overlap_give_a_finite_loss_without_reward(batch, device):
    far = torch.eye(3).repeat(2, 3, 1, 1)
    far[:, :, 0, 2] = torch.arange(3.0) * 1000
    apart = SequenceBatch(batch.images, HomographyGeometry(far, torch.ones(2, 3, 64, 64).bool()))
    model = TraqPoint().train().to(device)
    frozen(model.descriptor)
    for config in PRESETS.values():
        loss, stats = policy_step(apart, model, config, Weights(1.0, 0.0), torch.Generator().manual_seed(0))
        assert torch.isfinite(loss) and stats["reward"] == 0


def test_the_schedule_imitates_first_and_rewards_last():
    config = changed(PRESETS["traqpoint"], warmup={"share": 0.1})
    assert schedule(0.0, config) == Weights(0.0, config.warmup.weight)
    middle = schedule(0.075, config)
    assert 0 < middle.reward < 1 and 0 < middle.warmup < config.warmup.weight
    assert schedule(0.1, config) == Weights(1.0, 0.0)


def test_the_papers_schedule_rewards_from_the_start():
    config = PRESETS["paper"]
    assert schedule(0.0, config) == Weights(0.1, 10.0)
    assert schedule(0.05, config) == pytest.approx(Weights(0.55, 5.0))
    assert schedule(0.1, config) == Weights(1.0, 0.0)


def test_the_released_codes_entropy_falls_to_a_third():
    config = PRESETS["reference"]
    assert schedule(0.0, config).entropy == 1 and schedule(1.0, config).entropy == pytest.approx(1 / 3)


def test_the_learning_rate_rises_then_falls_to_its_end():
    config = LoopConfig()
    assert learning_rate(0.015, config) == pytest.approx(config.learning_rate / 2)
    assert learning_rate(0.03, config) == pytest.approx(config.learning_rate)
    assert learning_rate(1.0, config) == pytest.approx(config.final_learning_rate)


def test_a_warmup_stable_decay_rate_is_constant_between_its_ends():
    config = LoopConfig(schedule="wsd", warmup_share=0.1, decay_share=0.25)
    assert learning_rate(0.05, config) == pytest.approx(config.learning_rate / 2)
    assert learning_rate(0.1, config) == learning_rate(0.75, config) == config.learning_rate
    middle = (config.learning_rate + config.final_learning_rate) / 2
    assert learning_rate(0.875, config) == pytest.approx(middle)
    assert learning_rate(1.0, config) == pytest.approx(config.final_learning_rate)


@pytest.mark.slow
def test_a_resumed_run_equals_a_straight_one(photos, tmp_path, monkeypatch):
    straight = train_descriptor(descriptor_run(photos, tmp_path / "straight", 6))
    config = descriptor_run(photos, tmp_path / "broken", 6)

    def stop(step, stats):
        if step == 5:  # the last checkpoint was after step 4
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_descriptor(config, stop)
    resumed = train_descriptor(config)
    a, b = TraqPoint.from_pretrained(straight), TraqPoint.from_pretrained(resumed)
    for key, value in a.descriptor.state_dict().items():
        assert torch.equal(value, b.descriptor.state_dict()[key]), key
    steps = [json.loads(line)["step"] for line in (tmp_path / "broken" / "log.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4, 5, 6]


def test_both_stages_run_on_photos_and_worlds_and_give_loadable_weights(photos, tmp_path):
    worlds = WorldsConfig(image_size=(64, 64), num_frames=3, num_textures=3, texture_size=64, num_objects=2)
    data = DataConfig(photos, (("worlds", 0.5), ("homography", 0.5)), homography=SMALL, worlds=worlds)
    first = train_descriptor(replace(descriptor_run(photos, tmp_path / "d", 3), data=data))
    policy = changed(PRESETS["traqpoint"], warmup={"share": 0.7})
    second = train_policy(PolicyTraining(data, str(first), tmp_path / "p", loop(3), policy))
    a, b = TraqPoint.from_pretrained(first), TraqPoint.from_pretrained(second)
    warm = TraqPoint.from_pretrained(tmp_path / "p" / "warmup.safetensors")
    assert torch.equal(a.descriptor.lateral4.weight, b.descriptor.lateral4.weight)  # frozen
    assert not torch.equal(warm.detector.policy_head.weight, b.detector.policy_head.weight)


def test_a_folder_of_another_run_is_refused(photos, tmp_path):
    train_descriptor(descriptor_run(photos, tmp_path, 2))
    with pytest.raises(ConfigError, match="another configuration"):
        train_descriptor(descriptor_run(photos, tmp_path, 3))


def test_a_wrong_path_does_not_claim_the_folder(photos, tmp_path):
    """After a misspelt folder of photos or weight file, the right command may use the same output."""
    right = descriptor_run(photos, tmp_path / "d", 1)
    with pytest.raises(DataError):
        train_descriptor(replace(right, data=replace(right.data, photos=tmp_path / "nothing")))
    with pytest.raises(WeightsError):
        train_policy(PolicyTraining(right.data, "nothing", tmp_path / "d", loop(1)))
    assert train_descriptor(right).is_file()


def test_a_file_in_the_folders_place_is_named_before_anything_is_read(photos, tmp_path):
    taken = tmp_path / "taken"
    taken.write_text("not mine")
    right = descriptor_run(photos, taken, 1)
    with pytest.raises(ConfigError, match="taken: is a file"):
        train_descriptor(replace(right, data=replace(right.data, photos=tmp_path / "nothing")))
    assert taken.read_text() == "not mine"


def test_a_damaged_configuration_is_named(photos, tmp_path):
    (tmp_path / "config.yaml").write_text("{")
    with pytest.raises(FormatError, match=r"config\.yaml: not a readable YAML"):
        train_descriptor(descriptor_run(photos, tmp_path, 1))


def test_replaced_starting_weights_make_another_run(photos, tmp_path):
    start = tmp_path / "start.safetensors"
    torch.manual_seed(1)
    TraqPoint().save_pretrained(start)
    config = replace(descriptor_run(photos, tmp_path / "run", 2), init=str(start))
    train_descriptor(config)
    torch.manual_seed(2)
    TraqPoint().save_pretrained(start)
    with pytest.raises(ConfigError, match="another configuration"):
        train_descriptor(config)


def test_a_corrupt_checkpoint_is_named(photos, tmp_path):
    config = descriptor_run(photos, tmp_path, 2)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "00000001.pt").write_bytes(b"nonsense")
    with pytest.raises(WeightsError, match=r"00000001\.pt: not a checkpoint .*; delete it to begin anew"):
        train_descriptor(config)


@pytest.mark.parametrize(
    "build",
    [
        lambda: LoopConfig(steps=0),
        lambda: LoopConfig(precision="fp8"),
        lambda: LoopConfig(schedule="linear"),
        lambda: LoopConfig(ema=1.0),
        lambda: LoopConfig(accumulate=0),
        lambda: HomographyConfig(ramp=1.5),
        lambda: ValidationConfig(every=0),
        lambda: PolicyTraining(DataConfig(), "traqpoint-s", Path("unused")),
        lambda: HomographyConfig(image_size=8),
        lambda: HomographyConfig(zoom=(0.5, 1.0)),
        lambda: changed(PRESETS["paper"], reward={"redetection": {"target_gradient": True}}),
        lambda: changed(PRESETS["traqpoint"], reward={"redetection": {"window_px": 4}}),
    ],
)
def test_bad_values_are_refused_when_the_configuration_is_made(build):
    with pytest.raises(ConfigError):
        build()


def test_weights_hand_the_licence_on_of_those_they_started_from(photos, tmp_path):
    start = tmp_path / "start.safetensors"
    TraqPoint().save_pretrained(start, {"license": "CC0-1.0", "source": "here"})
    data = DataConfig(photos, homography=SMALL)
    path = train_policy(PolicyTraining(data, str(start), tmp_path / "p", loop(1)))
    metadata = TraqPoint.from_pretrained(path).metadata
    assert metadata["license"] == "CC0-1.0" and metadata["stage"] == "policy" and "source" not in metadata
