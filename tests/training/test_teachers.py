"""What teachers say: once per photo, kept, and in a common space with the student."""

import multiprocessing
import os
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from traqpoint.errors import ConfigError, DataError
from traqpoint.training.config import TeachersConfig
from traqpoint.training.teachers import Teachers, principal_axes
from traqpoint.types import DescribedPoints

SOURCE = """
import torch
import torch.nn.functional as F

LOOKED = []


class Colour:
    licence = "CC0"

    def __init__(self, seed, length):
        self.identity = f"colour {seed} {length}"
        self.mix = torch.randn(5, length, generator=torch.Generator().manual_seed(seed))

    def describe(self, image, xy):
        LOOKED.append(tuple(image.shape))
        if float(image.mean()) > 0.99:
            raise ValueError("too white")
        index = xy.long()
        colours = image[:, index[:, 1], index[:, 0]].T
        return F.normalize(torch.cat([colours, xy / 100], dim=1) @ self.mix, dim=1)


def four(name, folder, device):
    return Colour(0, 4)


def six(name, folder, device):
    return Colour(1, 6)


def wrong(name, folder, device):
    teacher = Colour(2, 4)
    teacher.describe = lambda image, xy: torch.zeros(3)
    return teacher
"""


@pytest.fixture
def module(tmp_path):
    (tmp_path / "colours.py").write_text(SOURCE)
    return str(tmp_path / "colours.py")


def looked(teachers):
    return type(next(iter(teachers._teachers.values()))).describe.__globals__["LOOKED"]


def photos(count=2):
    generator = torch.Generator().manual_seed(0)
    return [(torch.rand(3, 50, 80, generator=generator) * 255).byte() for _ in range(count)]


def config(*names, **options):
    return TeachersConfig(names, our_points=20, random_points=30, **options)


def test_points_are_ours_and_random_and_lie_in_the_photo(module, tmp_path):
    (points, _) = Teachers(config(f"{module}:four"), tmp_path / "kept")(photos())
    assert 30 < len(points.xy) <= 50 and points.descriptors.dtype == torch.float16
    assert bool(((points.xy >= 0) & (points.xy < torch.tensor([80, 50]))).all())
    assert torch.allclose(points.descriptors.float().norm(dim=1), torch.ones(len(points.xy)), atol=1e-3)


def test_a_teacher_sees_a_large_photo_shrunk_and_its_points_come_back_in_the_photos_pixels(module, tmp_path):
    teachers = Teachers(config(f"{module}:four", long_side=64), tmp_path / "kept")
    large = torch.nn.functional.interpolate(photos(1)[0][None].float(), (100, 160)).byte()[0]
    (points,) = teachers([large])
    assert looked(teachers)[-1] == (3, 40, 64)
    assert float(points.xy[:, 0].max()) > 120 and bool((points.xy < torch.tensor([160, 100])).all())


def test_a_photo_is_looked_at_once_by_the_same_teachers_with_the_same_settings(module, tmp_path):
    cache = tmp_path / "kept"
    first = Teachers(config(f"{module}:four"), cache)
    described = first(photos())
    count = len(looked(first))
    again = Teachers(config(f"{module}:four"), cache)(photos())
    assert len(looked(first)) == count and len(list(cache.iterdir())) == 2
    for a, b in zip(described, again, strict=True):
        assert torch.equal(a.xy, b.xy) and torch.equal(a.descriptors, b.descriptors)
    Teachers(replace(config(f"{module}:four"), random_points=31), cache)(photos())
    Teachers(config(f"{module}:six"), cache)(photos())
    assert len(looked(first)) == count + 4 and len(list(cache.iterdir())) == 6


def _killed_while_writing(module, cache):
    import traqpoint.training.teachers as code

    def savez(path, **arrays):
        path.write_bytes(b"half")
        os._exit(9)

    code.np.savez = savez
    Teachers(config(f"{module}:four"), cache)(photos())


def test_a_kill_while_it_is_kept_and_a_damaged_file_cost_one_look(module, tmp_path):
    cache = tmp_path / "kept"
    process = multiprocessing.get_context("fork").Process(target=_killed_while_writing, args=(module, cache))
    process.start()
    process.join()
    assert process.exitcode == 9 and not [path for path in cache.iterdir() if not path.name.startswith(".")]
    described = Teachers(config(f"{module}:four"), cache)(photos())
    file = next(path for path in cache.iterdir() if not path.name.startswith("."))
    file.write_bytes(file.read_bytes()[:100])
    again = Teachers(config(f"{module}:four"), cache)(photos())
    assert all(torch.equal(a.descriptors, b.descriptors) for a, b in zip(described, again, strict=True))


def test_the_similarity_to_several_teachers_is_the_mean_of_theirs(module, tmp_path):
    (both,) = Teachers(config(f"{module}:four", f"{module}:six"), tmp_path / "kept")(photos(1))
    a, b, c = both.descriptors.float(), *both.descriptors.float().split([4, 6], dim=1)
    mean = (F.normalize(b, dim=1) @ F.normalize(b, dim=1).T + F.normalize(c, dim=1) @ F.normalize(c, dim=1).T) / 2
    assert torch.allclose(a @ a.T, mean, atol=5e-3)


def test_a_photo_that_cannot_be_described_is_left_out_with_one_warning(module, tmp_path):
    white = torch.full((3, 50, 80), 255, dtype=torch.uint8)
    teachers = Teachers(config(f"{module}:four"), tmp_path / "kept")
    with pytest.warns(UserWarning, match=r"left out 2 photos, the first: photo 1 \(ValueError: too white\)") as caught:
        found = teachers([photos(1)[0], white, white])
    assert len(caught) == 1 and [points is None for points in found] == [False, True, True]
    with pytest.raises(DataError, match=r"none of 1 photos.*too white"):
        teachers([white])


def test_an_answer_that_is_no_descriptors_is_refused(module, tmp_path):
    with pytest.raises(ConfigError, match=r"wrong: describes \d+ points by \(3,\) instead of"):
        Teachers(config(f"{module}:wrong"), tmp_path / "kept")(photos())


def test_the_pca_is_orthonormal_and_keeps_all_similarities_where_there_is_room():
    descriptors = F.normalize(torch.randn(200, 10, generator=torch.Generator().manual_seed(0)), dim=1)
    described = [DescribedPoints(torch.zeros(200, 2), descriptors)]
    for dim in (10, 16):
        axes = principal_axes(described, dim)
        assert axes.shape == (10, dim)
        assert torch.allclose((descriptors @ axes) @ (descriptors @ axes).T, descriptors @ descriptors.T, atol=1e-5)
    axes = principal_axes(described, 4)
    assert torch.allclose(axes.T @ axes, torch.eye(4), atol=1e-5)
    assert torch.equal(axes, principal_axes(described, 4))


def test_the_pca_loses_nothing_of_descriptors_that_fill_fewer_dimensions():
    turn = torch.linalg.qr(torch.randn(12, 12, generator=torch.Generator().manual_seed(1)))[0]
    low = F.normalize(torch.randn(300, 5, generator=torch.Generator().manual_seed(2)), dim=1)
    descriptors = F.pad(low, (0, 7)) @ turn
    projected = descriptors @ principal_axes([DescribedPoints(torch.zeros(300, 2), descriptors)], 5)
    assert torch.allclose(projected @ projected.T, low @ low.T, atol=1e-4)


def test_one_teacher_of_the_students_length_is_the_target_and_a_projection_is_kept_with_the_run(module, tmp_path):
    four = Teachers(config(f"{module}:four"), tmp_path / "kept")
    four(photos())
    assert four.projection(tmp_path / "run" / "p.npy", 4) is None
    first = four.projection(tmp_path / "run" / "p.npy", 3)
    assert first.shape == (4, 3)
    four(photos(5))
    assert torch.equal(four.projection(tmp_path / "run" / "p.npy", 3), first)
    (tmp_path / "run" / "p.npy").write_text("nothing")
    with pytest.raises(DataError, match=r"p\.npy: not a projection"):
        four.projection(tmp_path / "run" / "p.npy", 3)
