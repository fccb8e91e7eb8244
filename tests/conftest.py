import os

# One thread per test process: xdist and small tensors gain nothing from more, and a loaded machine loses much.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from documents import ROOT
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
    model = TraqPoint(MODELS["traqpoint-t"]).train()
    model.dense(torch.rand(2, 3, 64, 64))
    return model.eval()


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Path:
    """A folder with the wheel and the source distribution."""
    pytest.importorskip("build")
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--outdir", str(out), str(ROOT)]
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode and "Could not find a version" in ended.stdout + ended.stderr:
        pytest.skip("the build's own tools cannot be downloaded here")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return out
