import os
import pickle

import numpy as np
import pytest

from traqpoint.errors import FormatError
from traqpoint.io.scene_info import read_scene_info

CONTENT = {
    "image_paths": np.array(["a/1.jpg", None], dtype=object),
    "poses": np.array([np.eye(4), None], dtype=object),
    "pair_infos": [(np.array([0, 1]), np.float64(0.3), np.zeros(4))],
}


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


def same(got):
    assert got["image_paths"].tolist() == ["a/1.jpg", None]
    np.testing.assert_array_equal(got["poses"][0], np.eye(4))
    assert got["poses"][1] is None
    assert got["pair_infos"][0][0].tolist() == [0, 1] and float(got["pair_infos"][0][1]) == 0.3


def test_a_pickled_dictionary_and_a_true_archive_read_the_same(tmp_path):
    (tmp_path / "pickled.npz").write_bytes(pickle.dumps(CONTENT))
    pair_infos = np.empty(1, dtype=object)
    pair_infos[0] = CONTENT["pair_infos"][0]
    np.savez(tmp_path / "archive.npz", **{**CONTENT, "pair_infos": pair_infos})
    for name in ("pickled.npz", "archive.npz"):
        same(read_scene_info(tmp_path / name, tuple(CONTENT)))


def test_a_plain_array_of_an_archive_keeps_its_numbers(tmp_path):
    np.savez(tmp_path / "plain.npz", K=np.arange(9.0).reshape(3, 3))
    np.testing.assert_array_equal(read_scene_info(tmp_path / "plain.npz", ("K",))["K"], np.arange(9.0).reshape(3, 3))


@pytest.mark.parametrize("archive", [False, True])
def test_code_in_a_pickle_is_refused_and_not_run(archive, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "evil.npz"
    if archive:
        np.savez(path, poses=np.array([Bomb()], dtype=object))
    else:
        path.write_bytes(pickle.dumps({"poses": Bomb()}))
    with pytest.raises(FormatError, match=r"evil.npz.*import .*mkdir"):
        read_scene_info(path, ("poses",))
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a scene_info file"),
        (b"hello", "not a scene_info file"),
        (pickle.dumps(CONTENT)[:-20], "not a scene_info file"),
        (pickle.dumps([1, 2]), "holds a dictionary"),
        (pickle.dumps({"poses": 1}), "'image_paths' is missing"),
        (b"PK\x03\x04broken", "not a whole npz"),
    ],
)
def test_damaged_files_are_named(data, reason, tmp_path):
    (tmp_path / "info.npz").write_bytes(data)
    with pytest.raises(FormatError, match=rf"info.npz.*{reason}"):
        read_scene_info(tmp_path / "info.npz", ("image_paths",))


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(FormatError, match=r"none.npz.*No such file"):
        read_scene_info(tmp_path / "none.npz", ())
