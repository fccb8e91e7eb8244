import subprocess
import sys

import numpy as np
import pytest
import torch

from traqpoint.errors import ConfigError
from traqpoint.models.traqpoint import TraqPoint

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from traqpoint.export.onnx import export_onnx  # noqa: E402


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    TraqPoint().save_pretrained(path)
    return path


def test_onnx_equals_torch_at_any_batch_size(weights, tmp_path):
    path = export_onnx(weights, tmp_path / "net.onnx", (96, 64))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    model = TraqPoint.from_pretrained(weights)
    for batch in (1, 3):
        images = torch.rand(batch, 3, 64, 96, generator=torch.Generator().manual_seed(batch))
        with torch.no_grad():
            expected = model.dense(images)
        logits, descriptors = session.run(["logits", "descriptors"], {"images": images.numpy()})
        assert np.abs(logits - expected.logits.numpy()).max() < 1e-4
        assert np.abs(descriptors - expected.descriptors.numpy()).max() < 1e-4


def test_the_exporter_keeps_quiet(weights, tmp_path):
    """Nothing of its chatter about libraries that it misses reaches the terminal."""
    code = "import sys; from traqpoint.export.onnx import export_onnx; export_onnx(*sys.argv[1:], (32, 32))"
    command = [sys.executable, "-c", code, str(weights), str(tmp_path / "n.onnx")]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout == "" and ended.stderr == ""


def test_sizes_that_do_not_fit_the_stride_are_refused(weights, tmp_path):
    with pytest.raises(ConfigError, match="multiples of 32"):
        export_onnx(weights, tmp_path / "net.onnx", (100, 64))
