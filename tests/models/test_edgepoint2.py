"""EdgePoint2 against what its authors' network gives."""

import numpy as np
import pytest
import torch
from research_data import PEERS

from traqpoint.errors import ConfigError
from traqpoint.models.edgepoint2 import CHANNELS, EdgePoint2
from traqpoint.tensors import load_strictly, read_tensors

GOLDEN = PEERS / "edgepoint2_golden.npz"


@pytest.mark.skipif(not GOLDEN.is_file(), reason="needs the peers' weights")
@pytest.mark.parametrize("size", CHANNELS)
def test_the_published_weights_give_what_the_authors_network_gives(size):
    network = EdgePoint2(size).eval()
    file = PEERS / f"edgepoint2-{size}.pth"
    load_strictly(network, read_tensors(file)[0], file)
    golden = np.load(GOLDEN)
    with torch.no_grad():
        descriptors, scores = network(torch.from_numpy(golden["image"]))
    assert np.abs(descriptors.numpy() - golden[f"{size}_descriptors"]).max() < 1e-5
    assert np.abs(scores.numpy() - golden[f"{size}_scores"]).max() < 1e-4


def test_a_size_that_was_not_published_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="T32, M64, E64"):
        EdgePoint2("XXL")
