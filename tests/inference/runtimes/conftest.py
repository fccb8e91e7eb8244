import pytest
import torch

from traqpoint.inference.runtimes.cache import FOLDER
from traqpoint.models.config import MODELS
from traqpoint.models.traqpoint import TraqPoint


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """Graphs are made once for all tests, and none lands in the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv(FOLDER, str(folder))
        yield folder


@pytest.fixture(scope="session")
def pyramid():
    """Untrained, with running statistics of noise."""
    torch.manual_seed(0)
    model = TraqPoint(MODELS["pyramid-t"]).train()
    model.dense(torch.rand(2, 3, 64, 64))
    return model.eval()
