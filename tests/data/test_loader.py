import os
import signal
import subprocess
import sys

import pytest
import torch

from traqpoint.data.config import HomographyConfig
from traqpoint.data.homography import HomographySequences
from traqpoint.data.loader import Loader, batch_generator
from traqpoint.data.posed.config import PosedConfig
from traqpoint.data.posed.frames import PosedSet
from traqpoint.data.posed.sequences import PosedSequences
from traqpoint.errors import DataError, ImageError
from traqpoint.types import Frame, SequenceBatch

SMALL = HomographyConfig(image_size=32, num_frames=2)


def photos():
    generator = torch.Generator().manual_seed(0)
    return [(torch.rand(3, 48, 48, generator=generator) * 255).byte() for _ in range(3)]


def images(workers, start=0, stop=6, seed=3):
    source = HomographySequences(photos(), SMALL)
    with Loader(source, 2, range(start, stop), stop, seed, workers) as loader:
        return [batch.images for batch in loader]


class Deadly:
    """Dies while it makes its third batch."""

    def __init__(self, how):
        self.how, self.source, self.made = how, HomographySequences(photos(), SMALL), 0

    def sample(self, batch_size, generator):
        self.made += 1
        if self.made == 3:
            self.how()
        return self.source.sample(batch_size, generator)


class Broken(PosedSet):
    name, names = "set", [str(i) for i in range(6)]

    def frame(self, index):
        if index in (1, 4):
            raise ImageError(f"{index}.png: damaged")
        K = torch.tensor([[30.0, 0, 16], [0, 30, 16], [0, 0, 1]])
        return Frame(torch.full((3, 32, 32), index / 6), K, torch.eye(4), torch.ones(32, 32))

    def overlap(self, source, target):
        return 0.5


class Growing:
    """Brighter as the run goes on."""

    def __init__(self, progress=0.0):
        self.progress = progress

    def at(self, progress):
        return Growing(progress)

    def sample(self, batch_size, generator):
        return SequenceBatch(torch.full((batch_size, 2, 3, 32, 32), self.progress), None)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_source_is_told_how_far_the_run_is_wherever_it_was_continued(workers):
    with Loader(Growing(), 1, range(2, 8), 8, 0, workers) as loader:
        assert [float(batch.images.mean()) for batch in loader] == pytest.approx([i / 8 for i in range(2, 8)])


def test_the_number_of_workers_does_not_change_a_bit():
    none, one, two = images(0), images(1), images(2)
    assert len(one) == 6 and all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(none, one, strict=True))
    assert not torch.equal(one[0], one[1])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_that_begins_later_continues_with_the_same_batches(workers):
    later = images(workers, start=4)
    assert all(torch.equal(a, b) for a, b in zip(images(1)[4:], later, strict=True))


def test_another_seed_gives_other_batches():
    assert not torch.equal(images(1, stop=1)[0], images(1, stop=1, seed=4)[0])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_comes_from_the_generator_of_its_number_alone(workers):
    source = HomographySequences(photos(), SMALL)
    expected = [source.sample(2, batch_generator(3, number)).images for number in (5, 1, 1)]
    with Loader(source, 2, [5, 1, 1], 6, 3, workers) as loader:
        assert all(torch.equal(a, b.images) for a, b in zip(expected, loader, strict=True))


def test_workers_leave_the_global_random_state_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    images(1, stop=2)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(
    ("how", "named"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), r"data worker \d \(pid \d+\) was killed by SIGKILL"),
        (lambda: os._exit(3), r"data worker \d \(pid \d+\) ended with exit code 3"),
    ],
)
def test_a_worker_that_dies_is_one_clear_error(how, named):
    with (
        pytest.raises(DataError, match=named + r".*; the last checkpoint is kept") as raised,
        Loader(Deadly(how), 1, range(20), 20, 0, 2) as loader,
    ):
        for _ in loader:
            pass
    assert "\n" not in str(raised.value)


def test_an_error_of_the_source_comes_out_of_a_worker_as_it_is():
    def fail():
        raise DataError("nothing overlaps")

    with (
        pytest.raises(DataError, match=r"^nothing overlaps$"),
        Loader(Deadly(fail), 1, range(9), 9, 0, 1) as loader,
    ):
        list(loader)


def test_interrupting_ends_the_workers():
    loader = Loader(HomographySequences(photos(), SMALL), 1, range(1000), 1000, 0, 2)
    with pytest.raises(KeyboardInterrupt), loader:
        next(loader)
        pids = [worker._process.pid for worker in loader._workers]
        raise KeyboardInterrupt
    assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.slow
def test_workers_do_not_outlive_a_loop_that_is_killed():
    script = """
import os, signal, torch
from traqpoint.data.config import HomographyConfig
from traqpoint.data.homography import HomographySequences
from traqpoint.data.loader import Loader
photo = torch.zeros(3, 48, 48, dtype=torch.uint8)
source = HomographySequences([photo], HomographyConfig(image_size=32, num_frames=2))
loader = Loader(source, 1, range(1000), 1000, 0, 2)
next(loader)
os.kill(os.getpid(), signal.SIGKILL)
"""
    # The pipe of the output closes when the last process that holds it has ended.
    subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, timeout=30)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_broken_files_are_counted_once_whoever_met_them(workers):
    source = PosedSequences([Broken()], PosedConfig(image_size=(32, 32), num_frames=3, photometric=0))
    with (
        pytest.warns(UserWarning, match=r"\d\.png: damaged"),
        Loader(source, 2, range(12), 12, 0, workers) as loader,
    ):
        list(loader)
    assert sorted(loader.unreadable.values()) == ["1.png: damaged", "4.png: damaged"]
