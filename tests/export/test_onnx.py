import subprocess
import sys

import numpy as np
import pytest
import torch
from random_inputs import blocks, write_pictures

from traqpoint.errors import ConfigError, WeightsError
from traqpoint.image import to_tensor
from traqpoint.inference.config import ExtractorConfig
from traqpoint.inference.extractor import Extractor
from traqpoint.inference.runtimes.graph import read_metadata
from traqpoint.models.detect import detect
from traqpoint.models.traqpoint import TraqPoint

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from traqpoint.export.graphs import Found, Full  # noqa: E402
from traqpoint.export.onnx import export_onnx  # noqa: E402
from traqpoint.export.openvino import export_openvino  # noqa: E402
from traqpoint.export.parity import compare  # noqa: E402


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    TraqPoint().save_pretrained(path)
    return path


@pytest.mark.slow
def test_onnx_equals_torch_at_any_batch_size(weights, tmp_path):
    path = export_onnx(weights, tmp_path / "net.onnx", (96, 64), graph="dense", prominence=0.0)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    model = TraqPoint.from_pretrained(weights)
    for batch in (1, 3):
        images = torch.rand(batch, 3, 64, 96, generator=torch.Generator().manual_seed(batch))
        with torch.no_grad():
            expected = model.dense(images)
        logits, descriptors = session.run(["logits", "descriptors"], {"images": images.numpy()})
        assert np.abs(logits - expected.logits.numpy()).max() < 1e-4
        assert np.abs(descriptors - expected.descriptors.numpy()).max() < 1e-4


@pytest.mark.slow
def test_the_exporter_keeps_quiet(weights, tmp_path):
    """Nothing of its chatter about libraries that it misses reaches the terminal."""
    code = "import sys; from traqpoint.export.onnx import export_onnx; export_onnx(*sys.argv[1:], (32, 32), 'dense')"
    command = [sys.executable, "-c", code, str(weights), str(tmp_path / "n.onnx")]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout == "" and ended.stderr == ""


def test_sizes_that_do_not_fit_the_stride_are_refused(weights, tmp_path):
    with pytest.raises(ConfigError, match="multiples of 32"):
        export_onnx(weights, tmp_path / "net.onnx", (100, 64), graph="dense")


def features(path, images, max_keypoints=200, min_score=0.0):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    limits = {"max_keypoints": np.array(max_keypoints), "min_score": np.array(min_score, np.float32)}
    return [torch.from_numpy(x) for x in session.run(None, {"images": images.numpy(), **limits})]


@pytest.fixture(scope="module", params=["traqpoint-s-v1", "pyramid"])
def full(request, tmp_path_factory):
    """A network, and its full graph."""
    name = request.param
    model = TraqPoint.from_pretrained(name) if name == "traqpoint-s-v1" else request.getfixturevalue(name)
    return model, export_onnx(model, tmp_path_factory.mktemp("full") / "net.onnx", prominence=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(96, 128), (75, 101), (64, 33)])
def test_the_full_graph_finds_what_the_extractor_finds_at_any_size(full, size):
    model, path = full
    image = to_tensor(blocks(*size))
    ours = Extractor(model, prominence=0.05, max_keypoints=200, device="cpu")(image)
    xy, descriptors, scores = features(path, image[None])
    assert len(ours) > 5 and xy.shape == (1, len(ours), 2)
    found = compare(ours.keypoints, ours.descriptors, xy[0], descriptors[0])
    assert found.share >= 0.999 and found.cosine > 0.9999
    assert torch.allclose(scores[0], ours.scores, atol=1e-5)


@pytest.mark.slow
def test_a_batch_of_the_full_graph_is_its_images_and_what_is_missing_says_so(full):
    _, path = full
    images = torch.stack([to_tensor(blocks(70, 90, 0)), to_tensor(blocks(70, 90, 1)), torch.full((3, 70, 90), 0.5)])
    together = features(path, images)
    for i, image in enumerate(images):
        alone = features(path, image[None])
        here = together[2][i] > 0
        assert int(here.sum()) == alone[0].shape[1]
        assert torch.allclose(together[0][i][here], alone[0][0], atol=1e-3)
        assert torch.isnan(together[0][i][~here]).all()


@pytest.mark.slow
def test_limits_are_inputs(full):
    _, path = full
    image = to_tensor(blocks(96, 128))[None]
    xy, _, scores = features(path, image)
    best = features(path, image, max_keypoints=7)
    assert torch.equal(best[0], xy[:, :7])
    floor = float(scores[0, 9])
    assert features(path, image, min_score=floor - 1e-6)[0].shape[1] == 10


def test_of_equal_maxima_the_graph_takes_the_first_as_detection_does():
    logits = torch.zeros(1, 1, 12, 14)
    logits[0, 0, 5, 5:8] = 2.0  # a ridge of three
    logits[0, 0, 8, 11] = 1.0
    graph = Full(TraqPoint(), ExtractorConfig(border=0))
    xy, scores = graph._detected(
        logits, torch.ones(1, 1, 1, 1) > 0, torch.tensor([14, 12]), torch.tensor(9), torch.tensor(0.0)
    )
    ((expected, expected_scores),) = detect(logits, 9, prominence=0.3)
    assert torch.allclose(xy[0], expected) and torch.allclose(scores[0], expected_scores) and len(expected) == 2


@pytest.mark.slow
def test_an_image_of_one_colour_has_no_keypoints_beside_one_that_has(full):
    _, path = full
    pictured = to_tensor(blocks(90, 125))
    xy, _, scores = features(path, torch.stack([torch.full_like(pictured, 0.4), pictured]))
    assert not scores[0].any() and xy[0].isnan().all() and scores[1].any()


@pytest.mark.slow
def test_a_file_says_what_it_is(full):
    model, path = full
    found = read_metadata(path)
    assert found["traqpoint.weights_sha256"] == model.sha256 and found["traqpoint.graph"] == "full"
    assert "(0.5, 0.5)" in found["traqpoint.pixels"] and found["traqpoint.stride"] == "32"
    assert found["traqpoint.parity"].startswith("100.00% of")


@pytest.mark.slow
def test_the_dense_graph_takes_any_multiple_of_the_stride(pyramid, tmp_path):
    path = export_onnx(pyramid, tmp_path / "net.onnx", graph="dense", prominence=0.0)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for shape in ((1, 3, 64, 96), (2, 3, 128, 32)):
        images = torch.rand(shape, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            expected = pyramid.dense(images)
        for value, name in zip(session.run(None, {"images": images.numpy()}), ("logits", "descriptors"), strict=True):
            assert np.abs(value - getattr(expected, name).numpy()).max() < 1e-4


@pytest.mark.slow
def test_a_graph_that_finds_other_keypoints_is_not_written(pyramid, tmp_path, monkeypatch):
    forward = Full.forward
    monkeypatch.setattr(Full, "forward", lambda self, *inputs: _shifted(forward(self, *inputs)))
    with pytest.raises(WeightsError, match=r"net\.onnx: the graph does not compute what the network does: 0\.00%"):
        export_onnx(pyramid, tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def _shifted(found):
    return found._replace(keypoints=found.keypoints + 0.1)


@pytest.mark.slow
def test_int8_of_the_full_graph_is_calibrated_by_the_users_images(pyramid, tmp_path):
    write_pictures(tmp_path / "photos", [blocks(64, 96, seed) for seed in range(2)])
    path = export_onnx(
        pyramid, tmp_path / "net.onnx", precision="int8", calibration_images=str(tmp_path / "photos"), prominence=0.0
    )
    assert read_metadata(path)["traqpoint.precision"] == "int8"
    assert features(path, to_tensor(blocks(64, 96))[None])[0].shape[1] > 20


def test_a_network_that_cannot_become_a_graph_says_so(pyramid, tmp_path, monkeypatch):
    monkeypatch.setattr(Full, "forward", lambda self, images, *_: Found(*[torch.nextafter(images, images)] * 3))
    with pytest.raises(WeightsError, match=r"this network cannot become a graph .*nextafter"):
        export_onnx(pyramid, tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(("graph", "network"), [("full", "traqpoint-s-v1"), ("full", "pyramid"), ("dense", "pyramid")])
def test_openvinos_files_find_what_the_network_finds(request, graph, network, tmp_path):
    pytest.importorskip("openvino")
    model = request.getfixturevalue(network) if network == "pyramid" else network
    said = export_openvino(model, tmp_path / "net.xml", graph=graph, prominence=0.05)
    assert said.startswith("100.00%") and (tmp_path / "net.bin").is_file()
    with pytest.raises(ConfigError, match=r"NAME\.xml"):
        export_openvino(model, tmp_path / "net.onnx")


def colmap_extract(path, image, max_keypoints, min_score):
    """What COLMAP's aliked.cc does with a model file, its checks included: pixels, descriptors."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    inputs, outputs = session.get_inputs(), session.get_outputs()
    assert [entry.name for entry in inputs] == ["image", "max_keypoints", "min_score"]
    assert [len(entry.shape) for entry in inputs] == [4, 0, 0] and inputs[0].shape[1] == 3
    assert [entry.type for entry in inputs] == ["tensor(float)", "tensor(int64)", "tensor(float)"]
    assert [entry.name for entry in outputs] == ["keypoints", "descriptors", "scores"]
    assert [len(entry.shape) for entry in outputs] == [3, 3, 2]
    dim = outputs[1].shape[2]
    assert isinstance(dim, int) and dim > 0
    height, width = image.shape[:2]
    padded = np.pad(image, ((0, -height % 32), (0, -width % 32), (0, 0)), mode="edge")
    tensor = np.ascontiguousarray(padded.transpose(2, 0, 1)[None], dtype=np.float32) / 255
    given = (tensor, np.array(max_keypoints), np.array(min_score, np.float32))
    xy, descriptors, scores = session.run(None, {i.name: value for i, value in zip(inputs, given, strict=True)})
    count = xy.shape[1]
    assert xy.shape == (1, count, 2) and descriptors.shape == (1, count, dim) and scores.shape == (1, count)
    pixels = (xy[0] + 1) * (np.array([padded.shape[1], padded.shape[0]], np.float32) - 1) * 0.5 + 0.5
    kept = (scores[0] >= min_score) & (pixels >= 0).all(1) & (pixels < [width, height]).all(1)
    return torch.from_numpy(pixels[kept]), torch.from_numpy(descriptors[0][kept])


@pytest.mark.slow
@pytest.mark.parametrize("network", ["traqpoint-s-v1", "pyramid"])
def test_colmap_extracts_what_the_extractor_finds(request, network, tmp_path):
    model = request.getfixturevalue(network) if network == "pyramid" else network
    path = export_onnx(model, tmp_path / "net.onnx", graph="colmap", prominence=0.05)
    for height, width in ((96, 128), (75, 101)):
        image = blocks(100, 130)[:height, :width]
        ours = Extractor(model, prominence=0.05, max_keypoints=150, threshold=0.2, device="cpu")(image)
        found = compare(ours.keypoints, ours.descriptors, *colmap_extract(path, image, 150, 0.2))
        assert found.keypoints > 20 and found.share >= 0.999 and found.cosine > 0.9999
    assert len(colmap_extract(path, np.full((40, 50, 3), 128, np.uint8), 150, 0.2)[0]) == 0
