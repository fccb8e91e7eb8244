"""TraqPoint's npz files: exact round trips, strict reading, atomic writing."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_inputs import random_features

import traqpoint.io.npz as npz
from traqpoint.errors import FormatError
from traqpoint.types import Features, Matches, Tracks


def same(a, b) -> bool:
    return all(torch.equal(getattr(a, key), getattr(b, key)) for key in ("keypoints", "scores", "descriptors")) and (
        a.image_size == b.image_size
    )


@pytest.mark.parametrize("n", [0, 1, 20])
def test_features_come_back_bit_exact(tmp_path, n):
    """Every array and the size survive, a keypoint at x = 3999.4 included."""
    npz.save_features(tmp_path / "a.npz", random_features(n))
    assert same(npz.load_features(tmp_path / "a.npz"), random_features(n))


def test_what_size_the_features_were_found_at_survives_where_it_is_known(tmp_path):
    """A file without it, of an earlier version, is read as one of which nobody says."""
    known = replace(random_features(3), found_at=(1600, 1200))
    npz.save_features(tmp_path / "a.npz", known)
    assert npz.load_features(tmp_path / "a.npz").found_at == (1600, 1200)
    npz.save_features(tmp_path / "a.npz", random_features(3))
    assert npz.load_features(tmp_path / "a.npz").found_at is None
    with pytest.raises(FormatError, match=r"x: found_at must be two positive integers"):
        npz.features_from_arrays(replace(known, found_at=(0, 1)).numpy(), "x")


def test_the_file_is_what_the_documentation_says(tmp_path):
    """numpy alone reads keypoints, scores, descriptors as float32 and image_size as (W, H)."""
    npz.save_features(tmp_path / "a.npz", random_features(3))
    with np.load(tmp_path / "a.npz") as archive:
        assert sorted(archive.files) == ["descriptors", "image_size", "keypoints", "scores"]
        assert archive["keypoints"].dtype == archive["scores"].dtype == archive["descriptors"].dtype == np.float32
        assert archive["keypoints"][0, 0] == np.float32(3999.4)
        assert archive["image_size"].tolist() == [4000, 3000]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1e4, width=32), st.floats(0, 1e4, width=32)), max_size=20))
def test_any_float32_pixel_survives(tmp_path_factory, points):
    """No coordinate is rounded on the way."""
    xy = torch.tensor(points, dtype=torch.float32).reshape(-1, 2)
    path = tmp_path_factory.mktemp("npz") / "a.npz"
    ones = torch.ones(len(xy))
    npz.save_features(path, Features(xy, ones, ones[:, None], (10, 10)))
    assert torch.equal(npz.load_features(path).keypoints, xy)


def test_matches_and_tracks_come_back_bit_exact(tmp_path):
    """Also empty ones."""
    for k in (0, 5):
        matches = Matches(torch.arange(2 * k).reshape(k, 2), torch.rand(k))
        npz.save_matches(tmp_path / "m.npz", matches)
        back = npz.load_matches(tmp_path / "m.npz")
        assert torch.equal(back.indices, matches.indices) and torch.equal(back.scores, matches.scores)
        numbers = torch.arange(k)
        tracks = Tracks(numbers, numbers + 1, numbers + 2, torch.rand(k, 2) * 4000, 9)
        npz.save_tracks(tmp_path / "t.npz", tracks)
        loaded = npz.load_tracks(tmp_path / "t.npz")
        assert loaded.num_frames == 9
        assert all(torch.equal(getattr(loaded, x), getattr(tracks, x)) for x in ("frame", "keypoint", "track_id", "xy"))


def _with(**changes):
    arrays = random_features(5).numpy()
    arrays.update(changes)
    return {key: value for key, value in arrays.items() if value is not None}


BAD = {
    "missing": (_with(scores=None), "'scores' is missing"),
    "float16": (_with(keypoints=np.zeros((5, 2), np.float16)), "keypoints must be float32, got float16"),
    "shape": (_with(keypoints=np.zeros((5, 3), np.float32)), r"keypoints must be \(N, 2\)"),
    "counts": (_with(scores=np.zeros(4, np.float32)), r"scores must be \(5,\)"),
    "nan": (_with(keypoints=np.full((5, 2), np.nan, np.float32)), "keypoints holds NaN"),
    "norm": (_with(descriptors=np.full((5, 8), 0.5, np.float32)), "descriptors must have unit norm"),
    "size": (_with(image_size=np.array([0, 10])), "image_size must be two positive integers"),
    "size_float": (_with(image_size=np.array([1.5, 10])), "image_size must be two positive integers"),
}


@pytest.mark.parametrize("case", BAD)
def test_wrong_content_is_named(tmp_path, case):
    """The error names the file and the key."""
    arrays, message = BAD[case]
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(FormatError, match=message) as caught:
        npz.load_features(tmp_path / "bad.npz")
    assert "bad.npz" in str(caught.value) and "\n" not in str(caught.value)


def test_damaged_files_are_named(tmp_path):
    """Missing, empty, truncated, foreign and pickled files raise FormatError, never anything else."""
    npz.save_features(tmp_path / "good.npz", random_features())
    whole = (tmp_path / "good.npz").read_bytes()
    contents = {"empty": b"", "text": b"hello", "half": whole[: len(whole) // 2], "tail": whole[:-3]}
    flipped = bytearray(whole)
    flipped[200] ^= 0xFF
    contents["flipped"] = bytes(flipped)
    for name, content in contents.items():
        (tmp_path / f"{name}.npz").write_bytes(content)
        with pytest.raises(FormatError, match=name):
            npz.load_features(tmp_path / f"{name}.npz")
    np.savez(tmp_path / "pickle.npz", **{**_with(), "scores": np.array([{}], dtype=object)})
    np.save(tmp_path / "array.npy", np.zeros(3))
    for name in ("pickle.npz", "array.npy", "nothing.npz"):
        with pytest.raises(FormatError, match=name):
            npz.load_features(tmp_path / name)


def test_an_interrupted_write_leaves_the_old_file_and_no_rest(tmp_path, monkeypatch):
    """Killed in the middle of writing, the earlier result is still whole."""
    path = tmp_path / "a.npz"
    npz.save_features(path, random_features(3))

    def interrupted(file, **arrays):
        file.write(b"half of a")
        raise KeyboardInterrupt

    monkeypatch.setattr(npz.np, "savez", interrupted)
    with pytest.raises(KeyboardInterrupt):
        npz.save_features(path, random_features(5))
    assert same(npz.load_features(path), random_features(3))
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


def test_the_folder_mirrors_the_images(tmp_path):
    """Names keep their folders and suffixes; damaged files do not count as there."""
    store = npz.NpzFeatures(tmp_path)
    store.write("left/1.jpg", random_features(1))
    store.write("right/1.jpg", random_features(2))
    store.write("v1.5", random_features(3))
    assert store.names() == ["left/1.jpg", "right/1.jpg", "v1.5"]
    assert "left/1.jpg" in store and "left/1.png" not in store and "left/1" not in store
    assert len(store.read("right/1.jpg")) == 2
    (tmp_path / "left/1.jpg.npz").write_bytes(b"PK")
    assert "left/1.jpg" not in store


def test_pairs_are_files_of_their_own(tmp_path):
    """A pair is one file, found by its two names whichever way round; a read the other way swaps the columns."""
    store = npz.NpzMatches(tmp_path)
    assert len(store) == 0
    store.write("left/1", "right/1", Matches(torch.tensor([[3, 4]]), torch.ones(1)))
    assert (tmp_path / "left-1" / "right-1.npz").is_file() and len(store) == 1
    assert ("left/1", "right/1") in store and ("right/1", "left/1") in store and ("left/1", "x") not in store
    assert store.read("left/1", "right/1").indices.tolist() == [[3, 4]]
    assert store.read("right/1", "left/1").indices.tolist() == [[4, 3]]
    store.write("right/1", "left/1", Matches(torch.tensor([[6, 5]]), torch.ones(1)))
    assert len(store) == 1 and store.read("left/1", "right/1").indices.tolist() == [[5, 6]]
    store.clear()
    assert len(store) == 0
