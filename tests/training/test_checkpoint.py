"""Checkpoints: what a run goes on from, whatever ended it."""

import errno
import json
import os
import random
import signal
import time
from dataclasses import replace
from multiprocessing import get_context

import pytest
import torch
from random_inputs import smooth_picture, write_pictures
from torch import nn

from traqpoint.cli.main import main
from traqpoint.data.config import DataConfig, HomographyConfig
from traqpoint.errors import ConfigError, DataError, Interrupted, WeightsError
from traqpoint.models.traqpoint import TraqPoint
from traqpoint.training.average import Average
from traqpoint.training.checkpoint import Checkpoints, State
from traqpoint.training.config import DescriptorConfig, DescriptorTraining, LoopConfig
from traqpoint.training.runs import train_descriptor

LOOP = LoopConfig(steps=6, batch_size=1, device="cpu", precision="float32", checkpoint_every=2, ema=0.9)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("photos"), (smooth_picture(96, 96, i) for i in range(3)))


def training(photos, out, **loop):
    data = DataConfig(photos, homography=HomographyConfig(image_size=64, num_frames=2))
    return DescriptorTraining(data, out, replace(LOOP, **loop), DescriptorConfig(points_per_frame=32))


def state(seed=0, width=2):
    torch.manual_seed(seed)
    module = nn.Linear(width, 2)
    optimizer = torch.optim.AdamW(module.parameters())
    module(torch.ones(1, width)).sum().backward()
    optimizer.step()
    return State(module, optimizer, Average(module, 0.9), done=4, skipped=1, best=0.5)


def weights(path):
    model = TraqPoint.from_pretrained(path)
    return model.descriptor.state_dict()


def same(a, b):
    return all(torch.equal(value, b[name]) for name, value in a.items())


def test_a_state_comes_back_as_it_was(tmp_path):
    checkpoints, saved, found = Checkpoints(tmp_path, 2, {"steps": 3}), state(0), state(1)
    checkpoints.save(saved)
    found.done = found.skipped = 0
    checkpoints.load(found)
    assert (found.done, found.skipped, found.best) == (4, 1, 0.5)
    assert same(saved.module.state_dict(), found.module.state_dict()) and same(saved.average.state, found.average.state)
    a, b = (s.optimizer.state_dict()["state"][0] for s in (saved, found))
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_the_newest_are_kept(tmp_path):
    checkpoints, saved = Checkpoints(tmp_path, 2, {}), state()
    for done in (2, 4, 10):
        saved.done = done
        checkpoints.save(saved)
    assert [path.name for path in checkpoints.files()] == ["00000004.pt", "00000010.pt"]


@pytest.mark.parametrize(
    ("configuration", "width", "error", "named"),
    [
        ({"loop": {"steps": 4}}, 2, ConfigError, r"another configuration \(loop.steps: 3 there, 4 here\)"),
        ({"loop": {"steps": 3}}, 3, WeightsError, r"another network: 1 misshapen \(first: weight \[2, 2\]"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_named_with_what_differs(tmp_path, configuration, width, error, named):
    Checkpoints(tmp_path, 2, {"loop": {"steps": 3}}).save(state())
    with pytest.raises(error, match=r"00000004\.pt: a checkpoint of " + named) as raised:
        Checkpoints(tmp_path, 2, configuration).load(state(width=width))
    assert "\n" not in str(raised.value)


def test_a_damaged_checkpoint_is_named_with_the_one_before(tmp_path):
    checkpoints, saved = Checkpoints(tmp_path, 2, {}), state()
    checkpoints.save(saved)
    (tmp_path / "00000009.pt").write_bytes((tmp_path / "00000004.pt").read_bytes()[:500])
    with pytest.raises(WeightsError, match=r"00000009\.pt: not a checkpoint .*; delete it to go on from 00000004\.pt$"):
        checkpoints.load(saved)


def test_a_full_disk_is_one_line_and_leaves_the_last_good_checkpoint(tmp_path, monkeypatch):
    checkpoints, saved = Checkpoints(tmp_path, 1, {}), state()
    checkpoints.save(saved)
    before = (tmp_path / "00000004.pt").read_bytes()

    def full(path, content):
        with path.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    saved.done = 6
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.write_bytes", full)
        with pytest.raises(
            DataError, match=r"00000006\.pt: .*\(No space left on device\); the last good .* 00000004\.pt"
        ):
            checkpoints.save(saved)
    assert [path.name for path in tmp_path.iterdir()] == ["00000004.pt"]
    assert (tmp_path / "00000004.pt").read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_signal_keeps_the_update_and_the_run_goes_on_as_if_nothing_was(photos, tmp_path, number, workers):
    straight = weights(train_descriptor(training(photos, tmp_path / "straight")))
    config = training(photos, tmp_path / "broken", workers=workers, checkpoint_every=100)

    def interrupt(step, stats):
        if step == 3:
            os.kill(os.getpid(), number)

    with pytest.raises(Interrupted, match="after update 4 of 6, which is kept; run the same command") as raised:
        train_descriptor(config, interrupt)
    assert raised.value.code == 128 + number
    assert [path.name for path in (tmp_path / "broken" / "checkpoints").iterdir()] == ["00000004.pt"]
    finished = train_descriptor(training(photos, tmp_path / "broken", workers=0, checkpoint_every=100))
    assert same(straight, weights(finished))
    assert same(weights(tmp_path / "straight" / "raw.safetensors"), weights(tmp_path / "broken" / "raw.safetensors"))
    assert not same(straight, weights(tmp_path / "straight" / "raw.safetensors"))  # the average is another


def test_the_command_line_says_where_it_stopped_in_one_line(monkeypatch, capfd):
    def stop(*_):
        raise Interrupted(signal.SIGTERM, "after update 3 of 6, which is kept")

    monkeypatch.setattr("traqpoint.training.runs.train_descriptor", stop)
    assert main(["train", "descriptor", "--data.mixture", "worlds", "1", "--out", "unused"]) == 143
    lines = capfd.readouterr().err.splitlines()
    assert lines == ["traqpoint: interrupted after update 3 of 6, which is kept; run the same command to go on"]


@pytest.mark.slow
def test_a_run_is_made_longer_by_naming_what_changes(photos, tmp_path):
    train_descriptor(training(photos, tmp_path))
    longer = training(photos, tmp_path, steps=8)
    with pytest.raises(ConfigError, match=r"loop.steps: 6 there, 8 here.*\(--changed loop.steps\)"):
        train_descriptor(longer)
    train_descriptor(replace(longer, changed=("loop.steps",)))
    assert [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").open()] == list(range(1, 9))
    train_descriptor(longer)  # what it is now


def killed_until_finished(photos, folder, kills, wait):
    """A training that is killed `kills` times, after wait() seconds each; its checkpoints are whole at each moment."""
    config = training(photos, folder, steps=12, checkpoint_every=1, workers=1)
    context = get_context("fork")
    for _ in range(kills):
        process = context.Process(target=train_descriptor, args=(config,))
        process.start()
        process.join(wait())
        process.kill()
        process.join()
        for path in (folder / "checkpoints").glob("[0-9]*.pt"):
            assert torch.load(path, weights_only=True)["done"] == int(path.stem)
    return train_descriptor(config)


def finishes_whole(photos, tmp_path, kills):
    began = time.monotonic()
    straight = train_descriptor(training(photos, tmp_path / "straight", steps=12))
    length = time.monotonic() - began
    moments = random.Random(0)
    broken = killed_until_finished(photos, tmp_path / "broken", kills, lambda: moments.uniform(0, length))
    assert same(weights(straight), weights(broken))
    assert sorted(path.name for path in (tmp_path / "broken" / "checkpoints").iterdir()) == [
        "00000011.pt",
        "00000012.pt",
    ]


@pytest.mark.slow
def test_a_training_that_is_killed_three_times_ends_as_one_that_is_not(photos, tmp_path):
    finishes_whole(photos, tmp_path, 3)


@pytest.mark.slowest
def test_a_training_that_is_killed_twenty_times_ends_as_one_that_is_not(photos, tmp_path):
    finishes_whole(photos, tmp_path, 20)
