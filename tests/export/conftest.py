import pytest
import torch

from traqpoint.models.config import MODELS
from traqpoint.models.traqpoint import TraqPoint


@pytest.fixture(scope="session")
def pyramid():
    """Untrained, with running statistics of noise."""
    torch.manual_seed(0)
    model = TraqPoint(MODELS["pyramid-t"]).train()
    model.dense(torch.rand(2, 3, 64, 64))
    return model.eval()
