"""How processes share an update: what is the same however many there are."""

import json

import pytest
import torch
from torch import nn
from torchrun import in_processes

from traqpoint.data.config import HomographyConfig
from traqpoint.data.homography import HomographySequences
from traqpoint.errors import ConfigError
from traqpoint.models.layers import frozen
from traqpoint.models.traqpoint import TraqPoint
from traqpoint.policy.presets import PRESETS
from traqpoint.training.config import LoopConfig
from traqpoint.training.loop import Looks, run
from traqpoint.training.policy_step import Weights, policy_step
from traqpoint.training.processes import launch
from traqpoint.types import SequenceBatch

pytestmark = pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="this torch has no gloo")


def source():
    photos = [(torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(i)) * 255).byte() for i in range(3)]
    return HomographySequences(photos, HomographyConfig(image_size=48, num_frames=2))


def network():
    """With what makes batches depend on each other: statistics, and random numbers of torch's own."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2), nn.Conv2d(4, 2, 3))


def config(**options):
    options = {"steps": 3, "batch_size": 1, "accumulate": 2, "device": "cpu", "precision": "float32", **options}
    return LoopConfig(**options)


def trained(out, config, rank=0):
    """Weights after a run, in out/weights.pt, and the images of each step, in out/seen-RANK.jsonl."""
    module, seen = network(), []

    def step(batch, done, generator):
        draw = float(torch.rand((), generator=generator))
        seen.append([done, float(batch.images.mean()), draw])
        loss = (module(batch.images.flatten(0, 1)) - draw).square().mean()
        return loss, {"loss": float(loss.detach())}

    out.mkdir(exist_ok=True)
    run(launch(config), out, module, source(), step, config, Looks())
    if rank == 0:
        torch.save(module.state_dict(), out / "weights.pt")
    (out / f"seen-{rank}.jsonl").write_text(json.dumps(seen))
    return module


def test_two_processes_train_what_one_trains(tmp_path):
    """Sequences, random numbers, statistics, weights and log are those of one process that makes all batches."""
    trained(tmp_path / "one", config())
    two = tmp_path / "two"
    assert in_processes(2, lambda rank: trained(two, config(), rank)) == [0, 0]
    one_saw = json.loads((tmp_path / "one" / "seen-0.jsonl").read_text())
    each_saw = [json.loads((two / f"seen-{rank}.jsonl").read_text()) for rank in range(2)]
    assert one_saw == [row for rows in zip(*each_saw, strict=True) for row in rows]
    assert len({(mean, draw) for _, mean, draw in one_saw}) == 6  # none twice
    expected, found = (torch.load(folder / "weights.pt") for folder in (tmp_path / "one", two))
    for name, value in expected.items():
        if value.is_floating_point():
            assert torch.allclose(value, found[name], atol=1e-6), name
    logs = [[json.loads(line)["loss"] for line in (f / "log.jsonl").open()] for f in (tmp_path / "one", two)]
    assert logs[0] == pytest.approx(logs[1], abs=1e-5) and len(logs[0]) == 3


def test_a_run_goes_on_with_another_number_of_processes(tmp_path):
    trained(tmp_path / "one", config(steps=4))
    broken = tmp_path / "two"

    def stopped(rank):
        module, options = network(), config(steps=4, checkpoint_every=2)

        def step(batch, done, generator):
            if done == 2:
                raise KeyboardInterrupt
            loss = (module(batch.images.flatten(0, 1)) - torch.rand((), generator=generator)).square().mean()
            return loss, {}

        broken.mkdir(exist_ok=True)
        try:
            run(launch(options), broken, module, source(), step, options)
        except KeyboardInterrupt:
            return

    assert in_processes(2, stopped) == [0, 0]
    trained(broken, config(steps=4))
    expected, found = (torch.load(folder / "weights.pt") for folder in (tmp_path / "one", broken))
    assert all(torch.allclose(v, found[k], atol=1e-6) for k, v in expected.items() if v.is_floating_point())


def test_a_batch_without_a_gradient_does_not_keep_the_other_process_waiting(tmp_path):
    def half(rank):
        module = nn.Linear(2, 2)

        def step(batch, done, generator):
            return (module.weight.sum() if rank == 0 else torch.tensor(3.0)), {"even": 1.0} if rank else {}

        tmp_path.mkdir(exist_ok=True)
        run(launch(config()), tmp_path, module, source(), step, config())
        assert module.weight.grad is None and (module.weight != 0).all()

    assert in_processes(2, half) == [0, 0]
    row = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[0])
    assert row["even"] == 1.0 and row["gradient_norm"] == pytest.approx(1.0)  # half of 2: the mean over both


def test_processes_that_cannot_share_the_batches_are_refused(tmp_path):
    def refused(rank):
        with pytest.raises(ConfigError, match="2 processes cannot share 3 batches per update"):
            launch(config(accumulate=3))

    assert in_processes(2, refused) == [0, 0]


def gradient(step, batches, network):
    """The mean gradient of some batches, as one vector."""
    network.zero_grad()
    for batch in batches:
        (step(batch)[0] / len(batches)).backward()
    return torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])


def halves(batch):
    """A batch of two sequences as two batches of one."""
    geometry = batch.geometry
    return [
        SequenceBatch(
            batch.images[i : i + 1], type(geometry)(geometry.frame_from_plane[i : i + 1], geometry.mask[i : i + 1])
        )
        for i in range(2)
    ]


def test_two_batches_of_one_sequence_have_the_gradient_of_one_of_two_where_a_loss_is_a_mean_over_frames():
    """With frozen statistics. Contrast and rewards weigh points and cells, and draw for the whole batch: what is exact
    for every loss is that processes share the batches of an update, above."""
    torch.manual_seed(0)
    model = TraqPoint()
    frozen(model.descriptor)
    model.detector.eval()
    batch = source().sample(2, torch.Generator().manual_seed(1))

    def imitate(batch):
        return policy_step(batch, model, PRESETS["traqpoint"], Weights(0.0, 1.0), torch.Generator())

    whole, mean = gradient(imitate, [batch], model.detector), gradient(imitate, halves(batch), model.detector)
    assert torch.allclose(whole, mean, rtol=1e-4, atol=1e-6 * float(whole.norm()))
