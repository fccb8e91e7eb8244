"""hloc's HDF5 files, read back as hloc reads them."""

import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_inputs import random_features

from traqpoint.errors import FormatError
from traqpoint.io.hloc import HlocFeatures, HlocMatches
from traqpoint.types import Matches


def test_layout_is_hlocs(tmp_path):
    """A group per image with float32 integer-centre keypoints, (D, N) descriptors, (W, H) and an uncertainty."""
    given_features = random_features(7)
    with HlocFeatures(tmp_path / "f.h5") as file:
        file.write("db/a.jpg", given_features)
    with h5py.File(tmp_path / "f.h5") as file:
        group = file["db/a.jpg"]
        assert sorted(group) == ["descriptors", "image_size", "keypoints", "scores"]
        assert group["keypoints"].dtype == np.float32 and group["keypoints"].attrs["uncertainty"] == 1.0
        assert group["keypoints"][0, 0] == np.float32(3999.4) - np.float32(0.5)
        assert group["descriptors"].shape == (8, 7) and group["scores"].shape == (7,)
        assert group["image_size"][()].tolist() == [4000, 3000]


@pytest.mark.parametrize("n", [0, 1, 20])
def test_features_come_back_bit_exact(tmp_path, n):
    """Through -0.5 and +0.5, a keypoint at x = 3999.4 included."""
    with HlocFeatures(tmp_path / "f.h5") as file:
        file.write("a.jpg", random_features(n))
    with HlocFeatures(tmp_path / "f.h5", "r") as file:
        back = file.read("a.jpg")
    for key in ("keypoints", "scores", "descriptors"):
        assert torch.equal(getattr(back, key), getattr(random_features(n), key))
    assert back.image_size == (4000, 3000)


@settings(max_examples=200, deadline=None)
@given(st.floats(0.25, 1e5, width=32), st.floats(0, 0.25, width=32))
def test_the_half_pixel_costs_nothing(x, near_zero):
    """(x - 0.5) + 0.5 is x in float32 from 0.25 on, and within 2^-26 px below."""
    half = np.float32(0.5)
    assert (np.float32(x) - half) + half == np.float32(x)
    assert abs((np.float32(near_zero) - half) + half - np.float32(near_zero)) <= 2**-26


def test_names_presence_and_replacement(tmp_path):
    """Images in sub-folders are listed by full name; writing again replaces; half a group counts as missing."""
    with HlocFeatures(tmp_path / "f.h5") as file:
        file.write("a/1.jpg", random_features(1))
        file.write("b/1.jpg", random_features(2))
        file.write("a/1.jpg", random_features(3))
        assert file.names() == ["a/1.jpg", "b/1.jpg"]
        assert len(file.read("a/1.jpg")) == 3 and "a" not in file and "c.jpg" not in file
    with h5py.File(tmp_path / "f.h5", "a") as raw:
        del raw["a/1.jpg/scores"]
    with HlocFeatures(tmp_path / "f.h5") as file:
        assert "a/1.jpg" not in file and file.names() == ["b/1.jpg"]
        with pytest.raises(FormatError, match=r"a/1\.jpg: key 'scores' is missing"):
            file.read("a/1.jpg")
        with pytest.raises(FormatError, match=r"no features of image 'c\.jpg'"):
            file.read("c.jpg")
        file.clear()
        assert file.names() == []


def test_hlocs_own_half_precision_files_are_readable(tmp_path):
    """float16 arrays, as hloc stores them, are read and come back as float32."""
    given_features = random_features(5, dim=64)
    with h5py.File(tmp_path / "f.h5", "w") as raw:
        group = raw.create_group("a.jpg")
        group["keypoints"] = (given_features.keypoints.numpy() - 0.5).astype(np.float16)
        group["scores"] = given_features.scores.numpy().astype(np.float16)
        group["descriptors"] = given_features.descriptors.numpy().T.astype(np.float16)
        group["image_size"] = np.array([4001, 4001])
    with HlocFeatures(tmp_path / "f.h5", "r") as file:
        back = file.read("a.jpg")
    assert back.keypoints.dtype == torch.float32
    torch.testing.assert_close(back.keypoints, given_features.keypoints, atol=2.0, rtol=0)


def _hloc_get_matches(path, name0, name1):
    """The algorithm of hloc.utils.io.get_matches."""
    with h5py.File(path) as file:
        pair = "/".join((name0.replace("/", "-"), name1.replace("/", "-")))
        target, scores = file[pair]["matches0"][()], file[pair]["matching_scores0"][()]
    found = np.where(target != -1)[0]
    return np.stack([found, target[found]], -1), scores[found]


def test_matches_as_hloc_reads_them_and_reversed(tmp_path):
    """The pair group holds matches0 for every keypoint of image a; asking (b, a) swaps the columns."""
    matches = Matches(torch.tensor([[1, 40_000], [4, 2]]), torch.tensor([0.5, 0.25]))
    with HlocMatches(tmp_path / "m.h5") as file:
        file.write("db/a.jpg", "query/b.jpg", matches, num_keypoints_a=6)
        assert ("db/a.jpg", "query/b.jpg") in file and ("query/b.jpg", "db/a.jpg") in file and len(file) == 1
    indices, scores = _hloc_get_matches(tmp_path / "m.h5", "db/a.jpg", "query/b.jpg")
    assert indices.tolist() == [[1, 40_000], [4, 2]] and scores.tolist() == [0.5, 0.25]
    with HlocMatches(tmp_path / "m.h5", "r") as file:
        assert torch.equal(file.read("db/a.jpg", "query/b.jpg").indices, matches.indices)
        assert file.read("query/b.jpg", "db/a.jpg").indices.tolist() == [[40_000, 1], [2, 4]]
        with pytest.raises(FormatError, match="no matches"):
            file.read("db/a.jpg", "c.jpg")


def test_no_matches_are_a_valid_result(tmp_path):
    """An empty match set, also of an image without keypoints, is stored and found again."""
    empty = Matches(torch.empty(0, 2, dtype=torch.long), torch.empty(0))
    with HlocMatches(tmp_path / "m.h5") as file:
        for n in (0, 4):
            file.write("a", f"b{n}", empty, num_keypoints_a=n)
            assert ("a", f"b{n}") in file and len(file.read("a", f"b{n}")) == 0


def test_damaged_files_are_named(tmp_path):
    """Missing, empty, text and truncated files raise FormatError with the file's name."""
    with HlocFeatures(tmp_path / "good.h5") as file:
        file.write("a.jpg", random_features(2000))
    whole = (tmp_path / "good.h5").read_bytes()
    for name, content in {"empty": b"", "text": b"hello" * 100, "half": whole[: len(whole) // 2]}.items():
        (tmp_path / f"{name}.h5").write_bytes(content)
        with pytest.raises(FormatError, match=f"{name}.h5"):
            HlocFeatures(tmp_path / f"{name}.h5", "r")
    with pytest.raises(FormatError, match=r"nothing\.h5: no such file"):
        HlocFeatures(tmp_path / "nothing.h5", "r")


WRITER = """
import sys, torch
from traqpoint.io.hloc import HlocFeatures
from traqpoint.types import Features
file = HlocFeatures(sys.argv[1])
for i in range(100000):
    xy, ones = torch.full((500, 2), i + 1.0), torch.ones(500)
    file.write(f"sub/{i}.jpg", Features(xy, ones, ones[:, None].expand(500, 64) / 8, (640, 480)))
    if i == 5:
        print("go", flush=True)
"""


@pytest.mark.slow
def test_a_killed_writer_loses_nothing(tmp_path):
    """After SIGKILL in the middle of writing every image is there; until the next close the older file is untouched."""
    for attempt in range(3):
        path = tmp_path / f"{attempt}.h5"
        with HlocFeatures(path) as file:
            file.write("older.jpg", random_features(2))
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE)
        assert process.stdout is not None and process.stdout.readline() == b"go\n"
        time.sleep(0.013 * attempt)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        with HlocFeatures(path, "r") as file:
            assert file.names() == ["older.jpg"]
        with HlocFeatures(path) as file:
            count = len(file.names())
            assert count >= 7
            file.write("one/more.jpg", random_features(3))
        with h5py.File(path) as raw:
            assert all(raw[f"sub/{i}.jpg/keypoints"][0, 0] == i + 0.5 for i in range(6))
            assert "one/more.jpg" in raw and "older.jpg" in raw
        assert [p.name for p in tmp_path.glob(f"{attempt}.h5*")] == [path.name]


def test_a_disk_that_fills_up_at_the_end_keeps_what_was_finished(tmp_path, monkeypatch):
    """HDF5 writes when it closes: the file is as it was then, and the next writer takes up the parts."""
    path = tmp_path / "f.h5"
    store = HlocFeatures(path)
    store.write("a.jpg", random_features(3))
    close = store._file.close

    def full():
        close()
        raise RuntimeError("Can't decrement id ref count (unable to extend file,\n No space left on device)")

    monkeypatch.setattr(store, "_file", SimpleNamespace(close=full))
    with pytest.raises(FormatError, match=r"f\.h5: cannot be written .*No space left on device.*run the same command"):
        store.close()
    assert not path.exists()
    with HlocFeatures(path) as again:
        assert len(again.read("a.jpg")) == 3
