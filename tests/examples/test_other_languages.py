"""The examples in C++ and JavaScript, where their tools are: nothing is downloaded."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from random_inputs import blocks

from traqpoint.inference.extractor import Extractor

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
pytest.importorskip("onnxruntime")

from traqpoint.export.onnx import export_onnx  # noqa: E402

WIDTH, HEIGHT = 101, 75
NODE = Path(os.environ.get("TRAQPOINT_NODE", EXAMPLES / "js"))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    return export_onnx("traqpoint-s", tmp_path_factory.mktemp("exported") / "net.onnx")


def agrees(command, file):
    image = blocks(HEIGHT, WIDTH)
    command = [*command, str(file), str(WIDTH), str(HEIGHT)]
    ended = subprocess.run(command, input=image.tobytes(), capture_output=True, check=True, cwd=NODE)
    rows = np.array([line.split() for line in ended.stdout.decode().splitlines()], dtype=np.float32)
    ours = Extractor("traqpoint-s", max_keypoints=1024, device="cpu")(image)
    assert len(ours) > 5 and rows.shape == (len(ours), 3)
    assert torch.allclose(torch.from_numpy(rows[:, :2]), ours.keypoints, atol=0.05)


@pytest.mark.parametrize("package", ["onnxruntime-node", "onnxruntime-web"])
def test_the_example_in_javascript_finds_what_the_extractor_finds(package, exported):
    if shutil.which("node") is None or not (NODE / "node_modules" / package).is_dir():
        pytest.skip(f"needs node, and {package}: npm install --ignore-scripts {package} in {NODE}")
    agrees(["node", str(EXAMPLES / "js" / "extract.mjs"), package], exported)


def test_the_example_in_cpp_builds_and_finds_what_the_extractor_finds(tmp_path, exported):
    root = Path(os.environ.get("ONNXRUNTIME", "nowhere"))
    if shutil.which("g++") is None or not (root / "include" / "onnxruntime_cxx_api.h").is_file():
        pytest.skip("needs g++, and a release of onnxruntime in the folder that ONNXRUNTIME names")
    built = tmp_path / "extract"
    link = ["-I", root / "include", "-L", root / "lib", "-lonnxruntime", f"-Wl,-rpath,{root / 'lib'}"]
    subprocess.run(["g++", "-std=c++17", EXAMPLES / "cpp" / "extract.cpp", *link, "-o", built], check=True)
    agrees([str(built)], exported)
