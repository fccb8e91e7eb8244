"""ONNX Runtime and OpenVINO beside PyTorch."""

import sys

import pytest
import torch
from random_inputs import blocks, write_pictures

from traqpoint.errors import ConfigError, FormatError, MissingDependencyError, TraqPointError, WeightsError
from traqpoint.inference.extractor import Extractor
from traqpoint.inference.runtimes.graph import write_metadata, write_network
from traqpoint.models.traqpoint import TraqPoint

pytest.importorskip("onnx")
BACKENDS = ("onnxruntime", "openvino")
PICTURES = [blocks(96, 120, 0), blocks(96, 128, 1), blocks(70, 90, 2)]


def extracted(model, **options):
    extractor = Extractor(model, prominence=0.0, device="cpu", max_keypoints=300, **options)
    extractor.batch(PICTURES)  # a shape that comes again may be computed by another graph
    return extractor.batch(PICTURES)


def nearest(a, b):
    """For each keypoint of `a`: px to the nearest one of `b`, and the cosine of their descriptors."""
    distances = (a.keypoints[:, None] - b.keypoints).norm(dim=2)
    near, index = distances.min(1)
    return near, (a.descriptors * b.descriptors[index]).sum(1)


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("network", ["traqpoint-s-v1", "pyramid"])
def test_a_graph_finds_the_keypoints_of_the_network_in_a_ragged_batch(request, backend, network):
    pytest.importorskip(backend)
    model = TraqPoint.from_pretrained(network) if network == "traqpoint-s-v1" else request.getfixturevalue(network)
    for ours, theirs in zip(extracted(model), extracted(model, backend=backend), strict=True):
        assert len(ours) > 20 and len(ours) == len(theirs)
        distance, cosine = nearest(ours, theirs)
        assert (distance < 0.05).float().mean() >= 0.999 and cosine.min() > 0.9999


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(write_pictures(tmp_path_factory.mktemp("calibration"), PICTURES))


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_int8_is_calibrated_by_the_users_images_and_keeps_the_keypoints(backend, folder):
    """The detector stays in float32; the image that it reads is in 8 bits."""
    pytest.importorskip(backend)
    pytest.importorskip("onnxruntime")
    options = {"backend": backend, "precision": "int8", "calibration_images": folder}
    for ours, theirs in zip(extracted("traqpoint-s"), extracted("traqpoint-s", **options), strict=True):
        distance, cosine = nearest(ours, theirs)
        assert (distance < 0.5).float().mean() >= 0.95 and cosine[distance < 0.5].mean() > 0.95
        assert cosine.max() < 1 - 1e-6  # it is another arithmetic


def test_what_int8_takes_for_a_folder_of_images_must_be_one():
    with pytest.raises(ConfigError, match=r"calibration images 'nowhere'.*worlds"):
        Extractor("traqpoint-s", backend="onnxruntime", precision="int8", calibration_images="nowhere")


def test_a_graph_is_made_once(pyramid, cache):
    pytest.importorskip("onnxruntime")
    Extractor(pyramid, backend="onnxruntime")
    before = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
    Extractor(pyramid, backend="onnxruntime")
    assert before and before == {path: path.stat().st_mtime_ns for path in cache.iterdir()}


@pytest.mark.parametrize(("backend", "extra"), [("onnxruntime", "export"), ("openvino", "openvino")])
def test_a_runtime_that_is_not_installed_says_how_to_get_it(backend, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, backend, None)
    with pytest.raises(
        MissingDependencyError, match=rf"{backend} is not installed: pip install 'traqpoint\[{extra}\]'"
    ):
        Extractor("traqpoint-s", backend=backend)


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_users_file_is_run_if_it_is_of_these_weights(pyramid, backend, tmp_path, cache):
    pytest.importorskip(backend)
    path = write_network(Extractor(pyramid).model, tmp_path / "net.onnx")
    kept = set(cache.iterdir())
    assert len(Extractor(pyramid, prominence=0.0, backend=backend, network=str(path))(PICTURES[0])) > 100
    assert set(cache.iterdir()) == kept
    with pytest.raises(WeightsError, match=r"net\.onnx: made of other weights"):
        Extractor("traqpoint-s", backend=backend, network=str(path))
    with pytest.raises(FormatError, match=r"net\.onnx: computes in float32, not in int8"):
        Extractor(pyramid, backend=backend, network=str(path), precision="int8")
    write_metadata(path, {"traqpoint.graph": "full"})
    with pytest.raises(FormatError, match=r"net\.onnx: holds the graph 'full'"):
        Extractor(pyramid, backend=backend, network=str(path))


@pytest.mark.parametrize("content", [None, b"", b"no graph\xff" * 20])
def test_what_is_no_graph_of_ours_is_refused_by_name(content, tmp_path):
    path = tmp_path / "net.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FormatError, match=r"net\.onnx: (no such file|not an ONNX file|was not written by TraqPoint)"):
        Extractor("traqpoint-s", backend="onnxruntime", network=str(path))


@pytest.mark.parametrize(
    "options",
    [
        {"precision": "int8"},
        {"backend": "onnxruntime", "precision": "bf16"},
        {"backend": "onnxruntime", "device": "cuda"},
        {"network": "net.onnx"},
    ],
)
def test_what_a_runtime_cannot_do_is_refused(options):
    with pytest.raises(TraqPointError):
        Extractor(TraqPoint(), **options)


def test_threads_are_pytorchs(pyramid):
    """The user has one place to say how many."""
    openvino = pytest.importorskip("openvino")
    asked = []
    compile_model = openvino.Core.compile_model
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openvino.Core, "compile_model", lambda *a: asked.append(a[3]) or compile_model(*a))
        Extractor(pyramid, backend="openvino")(PICTURES[0])
    assert asked[0]["INFERENCE_NUM_THREADS"] == torch.get_num_threads()
    assert asked[0]["INFERENCE_PRECISION_HINT"] == "f32"
