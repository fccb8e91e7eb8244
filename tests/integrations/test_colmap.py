"""COLMAP's own matcher on the database that we write."""

from contextlib import closing

import numpy as np
import pytest
import torch

pycolmap = pytest.importorskip("pycolmap")

from random_inputs import random_features  # noqa: E402

from traqpoint.errors import FormatError  # noqa: E402
from traqpoint.integrations.colmap import write_database  # noqa: E402
from traqpoint.io.colmap_db import ColmapDatabase, ColmapMatches, sift_bytes  # noqa: E402
from traqpoint.io.npz import NpzFeatures  # noqa: E402


@pytest.fixture
def folder(tmp_path, views):
    store = NpzFeatures(tmp_path / "features")
    for name, features in zip(("a", "b"), views, strict=True):
        store.write(name, features)
    return tmp_path


def test_colmaps_own_matcher_finds_our_matches(folder, matches):
    assert write_database(folder / "features", folder / "d.db") == 2
    options = pycolmap.FeatureMatchingOptions(num_threads=1, use_gpu=False)
    options.sift.max_ratio = options.sift.max_distance = 1.0
    pycolmap.match_exhaustive(folder / "d.db", matching_options=options, device=pycolmap.Device.cpu)
    with closing(ColmapMatches(folder / "d.db", "r")) as found:
        theirs = {tuple(pair) for pair in found.read("a", "b").indices.tolist()}
    ours = {tuple(pair) for pair in matches.indices.tolist()}
    assert len(theirs & ours) > 0.8 * len(ours)
    db = pycolmap.Database.open(folder / "d.db")
    assert db.num_verified_image_pairs() == 1
    db.close()


def test_exact_descriptors_are_for_us_and_rounded_ones_for_colmap(folder, views):
    write_database(folder / "features", folder / "exact.db", descriptor_type="UNDEFINED")
    with ColmapDatabase(folder / "exact.db", "r") as database:
        assert torch.equal(database.read("a").descriptors, views[0].descriptors)
    write_database(folder / "features", folder / "rounded.db")
    with (
        ColmapDatabase(folder / "rounded.db", "r") as database,
        pytest.raises(FormatError, match=r"rounded\.db: the descriptors of image 'a' .* or rounded for COLMAP"),
    ):
        database.read("a")
    with pytest.raises(FormatError, match="has features of 'a' already"):
        write_database(folder / "features", folder / "rounded.db")


def test_bytes_keep_the_cosines_of_neighbours():
    a = random_features(50, 64).descriptors
    b = torch.nn.functional.normalize(a + 0.02 * random_features(50, 64, seed=1).descriptors, dim=-1)
    small, other = (sift_bytes(x.numpy()).astype(np.float64) for x in (a, b))
    assert small.shape == (50, 128)
    np.testing.assert_allclose((small * other).sum(1) / 512**2, (a * b).sum(1).numpy(), atol=0.03)
    with pytest.raises(FormatError, match="descriptors of 65 dimensions"):
        sift_bytes(np.zeros((1, 65)))
