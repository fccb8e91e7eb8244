"""What every store promises, on disk and in memory, and where the formats put their files."""

from contextlib import closing
from pathlib import Path

import pytest
import torch
from random_inputs import random_features

from traqpoint.errors import ConfigError, DataError, FormatError
from traqpoint.io.colmap_db import ColmapDatabase
from traqpoint.io.memory import MemoryFeatures, MemoryMatches
from traqpoint.io.stores import FORMATS, Format, format_of, open_features, open_matches, resolve_output
from traqpoint.types import Matches

KINDS = (*FORMATS, "memory")
NAMES = ["db/a.jpg", "db/b.png", "c.jpg"]


@pytest.fixture(params=KINDS)
def stores(request, tmp_path):
    """A pair of open stores of one kind."""
    if request.param == "memory":
        yield MemoryFeatures(), MemoryMatches()
        return
    if request.param == "colmap":
        pytest.importorskip("pycolmap")
    format = FORMATS[request.param]
    file = tmp_path / (format.features_file or "features")
    other = tmp_path / (format.matches_file or "matches")
    with closing(format.features(file, "a")) as found, closing(format.matches(other, "a")) as matches:
        yield found, matches


def test_features_are_found_by_the_images_name(stores):
    """Names with folders and suffixes; writing again replaces (not in COLMAP); what is missing is named."""
    store, _ = stores
    for n, name in enumerate(NAMES):
        store.write(name, random_features(n + 3))
    if isinstance(store, ColmapDatabase):
        with pytest.raises(FormatError, match="cannot replace"):
            store.write(NAMES[0], random_features(7))
    else:
        store.write(NAMES[0], random_features(7))
    first = 3 if isinstance(store, ColmapDatabase) else 7
    assert store.names() == sorted(NAMES)
    for n, name in zip((first, 4, 5), NAMES, strict=True):
        assert name in store
        torch.testing.assert_close(store.read(name).keypoints, random_features(n).keypoints)
        assert torch.equal(store.read(name).descriptors, random_features(n).descriptors)
    assert "d.jpg" not in store
    with pytest.raises(FormatError, match="d"):
        store.read("d.jpg")
    store.clear()
    assert store.names() == [] and NAMES[0] not in store


def test_a_pair_is_one_entry_whichever_way_round(stores):
    """Read the other way the columns are swapped, and a pair written the other way replaces the first one."""
    store, matches = stores
    for n, name in enumerate(NAMES):
        store.write(name, random_features(n + 3))
    a, b, c = NAMES
    assert len(matches) == 0 and (a, b) not in matches and (a, "nowhere.jpg") not in matches
    matches.write(a, b, Matches(torch.tensor([[0, 3], [2, 1]]), torch.ones(2)), num_keypoints_a=3)
    matches.write(b, c, Matches(torch.empty(0, 2, dtype=torch.long), torch.empty(0)))
    assert (a, b) in matches and (b, a) in matches and (c, b) in matches and (a, c) not in matches and len(matches) == 2
    assert matches.read(a, b).indices.tolist() == [[0, 3], [2, 1]]
    assert matches.read(b, a).indices.tolist() == [[3, 0], [1, 2]]
    assert matches.read(c, b).indices.shape == (0, 2)
    with pytest.raises(FormatError, match="a"):
        matches.read(a, c)
    matches.write(b, a, Matches(torch.tensor([[1, 1]]), torch.ones(1)))
    assert matches.read(a, b).indices.tolist() == [[1, 1]] and len(matches) == 2
    matches.clear()
    assert len(matches) == 0 and len(store.names()) == 3


def test_names_that_share_a_key_are_refused_before_anything_is_written():
    """a/b and a-b have one name in hloc's pairs. COLMAP and memory tell all apart."""
    with pytest.raises(DataError, match=r"a/b\.jpg and a-b\.jpg cannot be told apart"):
        FORMATS["npz"].matches(Path("nowhere"), "a").check_names(["a/b.jpg", "a-b.jpg"])
    MemoryMatches().check_names(["a/b.jpg", "a-b.jpg"])


def test_names_that_differ_little_are_different_images(stores):
    """In the case of a letter, the suffix, the folder: each has its features and its matches."""
    store, matches = stores
    names = ["a.JPG", "a.jpg", "a.png", "x/a.jpg", "y/a.jpg"]
    for n, name in enumerate(names):
        assert name not in store
        store.write(name, random_features(n + 3))
    assert store.names() == names and [len(store.read(name)) for name in names] == [3, 4, 5, 6, 7]
    matches.check_names(names)
    for n, name in enumerate(names[1:]):
        assert (names[0], name) not in matches
        matches.write(names[0], name, Matches(torch.tensor([[n % 3, n]]), torch.ones(1)), num_keypoints_a=3)
    assert sorted(matches.pairs(names)) == [(names[0], name) for name in names[1:]]
    assert [matches.read(name, names[0]).indices.tolist() for name in names[1:]] == [[[n, n % 3]] for n in range(4)]


def test_the_suffix_says_the_format():
    """A folder may have dots in its name; of several suffixes each one counts."""
    found = {path: format_of(Path(path)) for path in ("x.h5", "x.HDF5", "x.db", "v1.2", "x")}
    assert [f and f.name for f in found.values()] == ["hloc", "hloc", "colmap", None, None]


def test_output_and_format_agree(tmp_path):
    """The suffix decides, contradictions and files in the place of folders are refused."""
    assert resolve_output(Path("x"), None) == (FORMATS["npz"], Path("x"))
    assert resolve_output(Path("x.h5"), None) == (FORMATS["hloc"], Path("x.h5"))
    assert resolve_output(Path("x"), "hloc") == (FORMATS["hloc"], Path("x/features.h5"))
    assert resolve_output(Path("x"), "colmap") == (FORMATS["colmap"], Path("x/database.db"))
    with pytest.raises(ConfigError, match="suffix says hloc and the format npz"):
        resolve_output(Path("x.h5"), "npz")
    with pytest.raises(ConfigError, match="format 'tar'"):
        resolve_output(Path("x"), "tar")
    (tmp_path / "file").write_text("")
    for format in FORMATS:
        with pytest.raises(ConfigError, match="is a file"):
            resolve_output(tmp_path / "file", format)


def test_a_path_is_enough_to_read(tmp_path):
    """A file by its suffix, a folder by the one file in it that has a format's name, or else as npz files."""
    for name in ("npz", "hloc"):
        _, out = resolve_output(tmp_path / name, name)
        with closing(FORMATS[name].features(out, "a")) as store:
            store.write("a.jpg", random_features(4))
        for path in (out, tmp_path / name):
            with closing(open_features(path)) as store:
                assert len(store.read("a.jpg")) == 4
    with closing(FORMATS["hloc"].matches(tmp_path / "hloc/matches.h5", "a")) as matches:
        matches.write("a.jpg", "b.jpg", Matches(torch.tensor([[3, 2]]), torch.ones(1)))
    with closing(open_matches(tmp_path / "hloc")) as matches:
        assert matches.read("b.jpg", "a.jpg").indices.tolist() == [[2, 3]]
    (tmp_path / "x.txt").write_text("")
    with pytest.raises(FormatError, match=r"x\.txt: features are a folder, \.h5 or \.hdf5, \.db"):
        open_features(tmp_path / "x.txt")
    for name in ("nothing", "nothing.h5"):
        with pytest.raises(FormatError, match="no such file or folder of matches"):
            open_matches(tmp_path / name)


def test_a_new_format_is_one_registered_name(tmp_path, monkeypatch):
    """Its suffix is known everywhere as soon as it is in FORMATS."""
    kept = MemoryFeatures()
    monkeypatch.setattr(FORMATS, "_known", dict(FORMATS._known))
    FORMATS.register("mem", Format("mem", lambda *_: kept, lambda *_: MemoryMatches(), (".mem",), "f.mem", "m.mem"))
    format, out = resolve_output(tmp_path / "x.mem", None)
    format.features(out, "a").write("a", random_features(2))
    out.write_bytes(b"")
    assert open_features(out).names() == ["a"]
