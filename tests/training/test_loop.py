"""The loop: one update, and a look in between that changes no number."""

import json
import shutil

import numpy as np
import pytest
import torch
from torch import nn
from wavy_world import camera, pose, shoot, units, write_jpg, write_png

from traqpoint.data.homography import HomographyConfig, HomographySequences
from traqpoint.data.posed.config import RgbdConfig
from traqpoint.data.posed.rgbd_layouts import rgbd_sequences
from traqpoint.errors import DataError
from traqpoint.models.layers import compiled
from traqpoint.models.traqpoint import TraqPoint
from traqpoint.training.average import Average
from traqpoint.training.config import LoopConfig
from traqpoint.training.loop import Looks, run
from traqpoint.training.processes import launch
from traqpoint.training.update import update


@pytest.fixture
def line():
    torch.manual_seed(0)
    module = nn.Linear(2, 2)
    return module, torch.optim.SGD(module.parameters(), lr=1.0)


def test_an_update_clips_the_gradient_and_returns_the_norm_it_had(line):
    module, optimizer = line
    before = module.weight.detach().clone()
    loss = 100 * module.weight.sum()
    loss.backward()
    norm, applied = update(module, optimizer, loss, clip_norm=0.5)
    assert applied and norm == pytest.approx(200)
    assert float((module.weight.detach() - before).norm()) == pytest.approx(0.5, rel=1e-4)


@pytest.mark.parametrize("factor", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_changes_nothing(line, factor):
    module, optimizer = line
    before = module.weight.detach().clone()
    loss = factor * module.weight.sum()
    loss.backward()
    _, applied = update(module, optimizer, loss, clip_norm=1.0)
    assert not applied and torch.equal(module.weight, before)


def test_a_loss_of_no_parameter_has_no_gradient(line):
    module, optimizer = line
    assert update(module, optimizer, torch.tensor(3.0), clip_norm=1.0) == (0.0, True)


def trained(out, look=None):
    """A module after five steps; look: what validates it, given the module."""
    photo = (torch.rand(3, 48, 48, generator=torch.Generator().manual_seed(0)) * 255).byte()
    source = HomographySequences([photo], HomographyConfig(image_size=32, num_frames=2))
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))
    module[1].eval()  # a part that is frozen

    def step(batch, index, generator):
        out = module(batch.images.flatten(0, 1)) + torch.randn(1, generator=generator)
        return out.square().mean(), {"loss": float(out.detach().mean())}

    out.mkdir()
    config = LoopConfig(steps=5, batch_size=1, device="cpu", precision="float32")
    run(launch(config), out, module, source, step, config, Looks(validate=look and look(module), validate_every=2))
    return module


def test_an_update_that_is_skipped_leaves_no_trace_in_running_statistics(tmp_path):
    photo = torch.zeros(3, 48, 48, dtype=torch.uint8)
    source = HomographySequences([photo], HomographyConfig(image_size=32, num_frames=2))
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))

    def step(batch, done, generator):
        images = batch.images.flatten(0, 1) * (float("nan") if done == 1 else 1.0)
        return module(images).square().mean(), {}

    config = LoopConfig(steps=3, batch_size=1, device="cpu", precision="float32")
    run(launch(config), tmp_path, module, source, step, config)
    assert all(bool(torch.isfinite(value).all()) for value in module.state_dict().values())
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["skipped"] for row in rows] == [0, 1, 1]


@pytest.mark.parametrize("able", [False, True])
@pytest.mark.parametrize("precision", ["auto", "bf16", "float32"])
def test_networks_compute_in_bf16_where_the_hardware_does_or_it_is_asked_for(tmp_path, monkeypatch, able, precision):
    monkeypatch.setattr("traqpoint.training.passes.computes_in_bf16", lambda device: able)
    module, seen = nn.Linear(3, 1), []

    def step(batch, done, generator):
        out = module(batch.images.mean((1, 3, 4)))
        seen.append(out.dtype)
        return out.float().sum(), {}

    source = HomographySequences([torch.zeros(3, 48, 48).byte()], HomographyConfig(image_size=32, num_frames=2))
    config = LoopConfig(steps=1, batch_size=1, device="cpu", precision=precision)
    run(launch(config), tmp_path, module, source, step, config)
    low = precision == "bf16" or (precision == "auto" and able)
    assert seen == [torch.bfloat16 if low else torch.float32]


def test_a_batch_is_repeated_to_overfit_on(tmp_path):
    module, seen = nn.Linear(1, 1), []

    def step(batch, done, generator):
        seen.append(float(batch.images.mean()))
        return module.weight.sum(), {}

    photos = [(torch.rand(3, 48, 48, generator=torch.Generator().manual_seed(i)) * 255).byte() for i in range(3)]
    source = HomographySequences(photos, HomographyConfig(image_size=32, num_frames=2))
    config = LoopConfig(steps=3, batch_size=1, accumulate=2, device="cpu", overfit=True)
    run(launch(config), tmp_path, module, source, step, config)
    assert seen == seen[:2] * 3 and seen[0] != seen[1]


def test_the_weights_average_of_a_run_is_the_mean_of_where_it_was():
    module = nn.Linear(1, 1, bias=False)
    average = Average(module, 0.5)
    expected = module.weight.item()
    for done in range(1, 30):
        with torch.no_grad():
            module.weight.fill_(float(done))
        average.update(done)
        decay = min(0.5, (1 + done) / (10 + done))
        expected = decay * expected + (1 - decay) * done
    with average.worn():
        assert module.weight.item() == pytest.approx(expected)
    assert module.weight.item() == 29 and float(average.state["weight"]) == pytest.approx(expected)


def test_networks_are_compiled_where_that_is_asked_for(monkeypatch):
    calls = []
    monkeypatch.setattr(torch, "compile", lambda function, **_: lambda *a: (calls.append("maps"), function(*a))[1])
    model = TraqPoint().eval()
    monkeypatch.setattr(model.detector, "compile", lambda: calls.append("detector"))
    compiled(model.descriptor, model.detector)
    model.descriptor.maps(torch.zeros(1, 3, 32, 32))
    assert calls == ["detector", "maps"]


def test_validation_sees_the_module_in_evaluation_mode_and_changes_no_number(tmp_path):
    best = {}

    def look(module):
        def validate(done):
            assert not any(part.training for part in module.modules()) and not torch.is_grad_enabled()
            torch.rand(7)
            best.update(step=done, weight=module[0].weight.clone())
            return {"completeness": done / 10}

        return validate

    plain, watched = trained(tmp_path / "plain"), trained(tmp_path / "watched", look)
    for key, value in plain.state_dict().items():
        assert torch.equal(value, watched.state_dict()[key]), key
    assert [part.training for part in watched] == [True, False, True]
    assert best["step"] == 5 and torch.equal(best["weight"], watched[0].weight)
    lines = [json.loads(line) for line in (tmp_path / "watched" / "log.jsonl").read_text().splitlines()]
    assert [line.get("completeness") for line in lines] == [None, 0.2, None, 0.4, 0.5]


def record(folder):
    """An RGB-D recording of six frames."""
    for part in ("images", "depth"):
        (folder / part).mkdir(parents=True)
    poses = [pose(x=0.05 * t) for t in range(6)]
    for t, at in enumerate(poses):
        image, depth = shoot(camera(60.0, 64, 48), at, 64, 48)
        write_jpg(folder / "images" / f"{t}.jpg", image)
        write_png(folder / "depth" / f"{t}.png", units(depth))
    np.savetxt(folder / "K.txt", camera(60.0, 64, 48).numpy())
    np.savetxt(folder / "poses.txt", np.stack([at.inverse().numpy().reshape(16) for at in poses]))


def test_data_that_vanish_end_a_run_in_one_line_and_it_goes_on_when_they_are_back(tmp_path):
    recording, out, seen = tmp_path / "recording", tmp_path / "out", []
    record(recording)
    # Nothing is kept in memory: what cannot be read is missed at once.
    options = RgbdConfig(
        folders=(recording,), image_size=(32, 32), num_frames=2, overlap=(0.1, 1.0), order="star", cache_frames=1
    )
    module = nn.Linear(1, 1)
    config = LoopConfig(steps=5, batch_size=1, device="cpu", precision="float32", checkpoint_every=1)

    def step(batch, done, generator):
        seen.append(done)
        if len(seen) == 3:
            shutil.rmtree(recording)
        return module.weight.sum(), {}

    def go_on():
        out.mkdir(exist_ok=True)
        run(launch(config), out, module, rgbd_sequences(options), step, config)

    with pytest.raises(DataError, match=r"recording.*could not be read, the first: "):
        go_on()
    assert seen == [0, 1, 2]
    record(recording)
    go_on()
    assert seen == [0, 1, 2, 3, 4]
