import os

# One thread per test process: xdist and small tensors gain nothing from more, and a loaded machine loses much.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")

import pytest
import torch
from made_on import available_devices, made_on

from traqpoint.models.config import MODELS
from traqpoint.models.traqpoint import TraqPoint


@pytest.fixture(scope="module", params=available_devices())
def device(request):
    """Each device that is there: tensors that the module's tests make are on it, its networks go there with `.to`.

    A module of numeric tests says ``pytestmark = pytest.mark.usefixtures("device")``.
    """
    device = torch.device(request.param)
    with made_on(device, request.module):
        yield device


@pytest.fixture(scope="session")
def pyramid():
    """A network of the second generation, untrained, with running statistics of noise."""
    torch.manual_seed(0)
    model = TraqPoint(MODELS["pyramid-t"]).train()
    model.dense(torch.rand(2, 3, 64, 64))
    return model.eval()
