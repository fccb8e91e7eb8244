import warnings

import numpy as np
import pytest
import research_data
import torch
from random_inputs import generator

from traqpoint.data.posed.colmap import ColmapSet, colmap_sequences, stack_tracks
from traqpoint.data.posed.config import ColmapConfig
from traqpoint.data.posed.frames import fit_frame
from traqpoint.data.posed.sequences import PosedSequences
from traqpoint.errors import ConfigError, FormatError, GeometryError, TraqPointError
from traqpoint.geometry.camera import Camera
from traqpoint.geometry.sparse import SparseGeometry
from traqpoint.geometry.warp import DepthGeometry
from traqpoint.image import write_image
from traqpoint.io.colmap_depth import read_depth_map
from traqpoint.io.colmap_model import read_model, shared_points
from traqpoint.models.layers import frozen
from traqpoint.models.traqpoint import TraqPoint
from traqpoint.policy.config import PolicyConfig
from traqpoint.training.config import DescriptorConfig
from traqpoint.training.descriptor_step import descriptor_step
from traqpoint.training.policy_step import Weights, policy_step
from traqpoint.types import PointState

pycolmap = pytest.importorskip("pycolmap", reason="needs the sfm extra")

REAL = research_data.DATA / "posed"
W, H, F, DEPTH = 80, 60, 70.0, 5.0
CAMERAS = {"PINHOLE": f"{F} {F} 40 30", "SIMPLE_RADIAL": f"{F} 40 30 -0.15"}


def workspace(folder, frames=6, step=0.4, model="PINHOLE", points=400, model_folder="sparse/0"):
    """Cameras side by side in front of a plane at DEPTH; each observes the points that it sees. Returns the folder."""
    rng = np.random.default_rng(0)
    xyz = np.column_stack([rng.uniform(-4, 8, points), rng.uniform(-2, 2, points), np.full(points, DEPTH)])
    camera = Camera(model, (W, H), torch.tensor([float(v) for v in CAMERAS[model].split()]))
    lines = {"cameras": [f"1 {model} {W} {H} {CAMERAS[model]}"], "images": [], "points3D": []}
    tracks = [[] for _ in range(points)]
    for i in range(frames):
        xy = camera.project(torch.tensor(xyz - [step * i, 0, 0], dtype=torch.float32))
        seen = ((xy >= 0) & (xy < torch.tensor([W, H]))).all(1).nonzero().flatten().tolist()
        for place, point in enumerate(seen):
            tracks[point] += [f"{i + 1} {place}"]
        # The last keypoint observes nothing.
        observations = [f"{xy[p, 0]:.6f} {xy[p, 1]:.6f} {p + 1}" for p in seen] + ["3 3 -1"]
        lines["images"] += [f"{i + 1} 1 0 0 0 {-step * i} 0 0 1 {i}.png", " ".join(observations)]
        write_image(folder / "images" / f"{i}.png", rng.integers(0, 255, (H, W, 3), dtype=np.uint8))
    for p, track in enumerate(tracks):
        if len(track) > 1:
            lines["points3D"].append(f"{p + 1} {xyz[p, 0]} {xyz[p, 1]} {xyz[p, 2]} 0 0 0 0.1 " + " ".join(track))
    kept = {line.split()[0] for line in lines["points3D"]}
    for i in range(1, len(lines["images"]), 2):
        words = lines["images"][i].split()
        ids = [p if p in kept else "-1" for p in words[2::3]]
        lines["images"][i] = " ".join(" ".join(t) for t in zip(words[::3], words[1::3], ids, strict=True))
    (folder / model_folder).mkdir(parents=True, exist_ok=True)
    for name, content in lines.items():
        (folder / model_folder / f"{name}.txt").write_text("\n".join(content) + "\n")
    return folder


def add_depth(folder, kind="geometric", value=DEPTH, frames=6, size=(W, H)):
    maps = folder / "stereo" / "depth_maps"
    maps.mkdir(parents=True, exist_ok=True)
    for i in range(frames):
        depth = np.full(size[::-1], value, np.float32)
        depth[:3] = 0  # unknown
        (maps / f"{i}.png.{kind}.bin").write_bytes(f"{size[0]}&{size[1]}&1&".encode() + depth.tobytes())


def source(*folders, **options):
    options = {"image_size": (60, 60), "num_frames": 3, "photometric": 0.0, "overlap": (0.1, 0.95)} | options
    return colmap_sequences(ColmapConfig(workspaces=folders, **options))


@pytest.fixture(scope="module", params=["south_building", "bonsai"])
def real(request):
    if not (REAL / request.param).is_dir():
        pytest.skip(f"{REAL / request.param} is absent")
    return ColmapSet(REAL / request.param)


def test_depth_maps_are_read_as_colmap_wrote_them(tmp_path):
    depth = np.random.default_rng(0).uniform(1, 9, (7, 11)).astype(np.float32)
    depth[2, 3] = 0
    pycolmap.DepthMap.from_array(depth, 0.5, 10.0).write(tmp_path / "d.bin")
    read = read_depth_map(tmp_path / "d.bin")
    assert bool(torch.isnan(read[2, 3])) and torch.equal(read.nan_to_num(0), torch.from_numpy(depth))


@pytest.mark.parametrize("content", [b"", b"nonsense", b"4&4&1&" + bytes(60), b"4&4&3&" + bytes(192), b"0&0&1&"])
def test_a_damaged_depth_map_is_named(tmp_path, content):
    (tmp_path / "d.bin").write_bytes(content)
    with pytest.raises(FormatError, match=r"d\.bin"):
        read_depth_map(tmp_path / "d.bin")


@pytest.mark.parametrize("model", CAMERAS)
def test_observations_are_carried_onto_the_observations_of_the_same_points(tmp_path, model):
    """Also with distortion: the frames are pinhole pictures, and the observations follow."""
    folder = workspace(tmp_path, model=model)
    data, reference = ColmapSet(folder), pycolmap.Reconstruction(folder / "sparse/0")
    batch = source(folder).sample(2, generator())
    geometry = batch.geometry
    assert isinstance(geometry, SparseGeometry)
    carried = 0
    for b, (a, t) in ((b, pair) for b in range(2) for pair in ((0, 1), (1, 2), (2, 0))):
        # On a plane that is parallel to the images, every pixel near an observation moves by the same parallax.
        xy = (geometry.point[b, a] >= 0).nonzero().flip(-1) + 0.5
        shift = F * (geometry.cam_from_world[b, t] - geometry.cam_from_world[b, a])[0, 3] / DEPTH
        warped = geometry.warp(a, t, xy.float().expand(2, -1, -1))
        expected = xy + torch.tensor([float(shift), 0.0])
        assert torch.allclose(warped.xy[b], expected.float(), atol=1e-3)
        carried += int(warped.visible[b].sum())
    assert carried > 100
    assert data.names == sorted(image.name for image in reference.images.values())


def test_only_points_with_an_observation_in_the_target_are_visible(tmp_path):
    """A keypoint taken out of the model makes its point unknown there, not occluded and not visible."""
    folder = workspace(tmp_path)
    file = folder / "sparse/0/images.txt"
    lines = file.read_text().splitlines()
    words = lines[3].split()  # the second image's observations
    kept = [w if i % 3 != 2 or i % 2 else "-1" for i, w in enumerate(words)]
    lines[3] = " ".join(kept)
    file.write_text("\n".join(lines) + "\n")
    data = ColmapSet(folder)
    first, second = data.frame(0), data.frame(1)
    seen = first.observations
    lost = set(seen.points.tolist()) - set(second.observations.points.tolist())
    geometry = stack_tracks([[first, second]], 1.0)
    xy = (seen.rays @ first.K.to(seen.rays).T)[:, :2].float()
    warped = geometry.warp(0, 1, xy[None])
    crowded = torch.cdist(xy, xy).fill_diagonal_(99).amin(1) < 3
    for i, point in enumerate(seen.points.tolist()):
        if not crowded[i] and warped.state[0, i] != PointState.OUTSIDE:
            assert warped.state[0, i] == (PointState.UNKNOWN if point in lost else PointState.VISIBLE)


def test_stereo_depth_is_used_where_it_exists_the_geometric_one_first(tmp_path):
    folder = workspace(tmp_path, model_folder="sparse")
    add_depth(folder, "photometric", 2 * DEPTH)
    batch = source(folder).sample(1, generator())
    assert isinstance(batch.geometry, DepthGeometry)
    assert float(batch.geometry.depth.nanmedian()) == pytest.approx(2 * DEPTH)
    add_depth(folder, "geometric")
    depth = source(folder).sample(1, generator()).geometry.depth
    assert float(depth.nanmedian()) == pytest.approx(DEPTH) and bool(torch.isnan(depth[..., 0, :]).all())


def test_images_are_brought_to_the_size_of_their_depth_maps(tmp_path):
    folder = workspace(tmp_path)
    add_depth(folder, size=(40, 30))
    frame = ColmapSet(folder).frame(0)
    assert frame.image.shape == (3, 30, 40) and frame.depth.shape == (30, 40)
    assert torch.allclose(frame.K.float(), torch.tensor([[F / 2, 0, 20], [0, F / 2, 15], [0, 0, 1]]))


@pytest.mark.parametrize("order", ["star", "chain"])
def test_neighbours_share_as_many_points_as_asked(tmp_path, order):
    folder = workspace(tmp_path, frames=8)
    sequences = source(folder, order=order, overlap=(0.5, 0.8))
    data = sequences.sources[0][0].sets[0]
    for seed in range(5):
        relative = sequences.sample(1, generator(seed)).geometry.cam_from_world[0, :, 0, 3]
        for i in range(1, 3):
            gap = round(float((relative[i] - relative[i - 1 if order == "chain" else 0]) / 0.4))
            pairs = [(a, a - gap) for a in range(8) if 0 <= a - gap < 8]
            assert any(0.5 <= data.overlap(a, b) <= 0.8 for a, b in pairs), gap


def test_overlap_is_the_share_of_common_points(tmp_path):
    folder = workspace(tmp_path)
    data, model = ColmapSet(folder), read_model(folder / "sparse/0")
    pairs, counts = shared_points(model)
    views = list(model.images.values())
    for (a, b), count in zip(pairs.tolist(), counts.tolist(), strict=True):
        assert data.overlap(a, b) == pytest.approx(count / int((views[a].point3D >= 0).sum()))
        assert data.overlap(b, a) == pytest.approx(count / int((views[b].point3D >= 0).sum()))


def test_a_batch_depends_on_its_generator_alone(tmp_path):
    folder = workspace(tmp_path)
    used = source(folder)
    used.sample(3, generator(7))
    a, b = used.sample(2, generator(1)), source(folder).sample(2, generator(1))
    assert torch.equal(a.images, b.images) and torch.equal(a.geometry.point, b.geometry.point)


def test_missing_images_are_counted_and_a_broken_one_is_left_out(tmp_path):
    folder = workspace(tmp_path, frames=8)
    (folder / "images" / "2.png").unlink()
    with pytest.warns(UserWarning, match=r"1 of the model's 8 images are missing, the first: 2\.png"):
        sequences = source(folder)
    (folder / "images" / "5.png").write_bytes(b"nonsense")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in range(6):
            sequences.sample(1, generator(seed))
    assert len(sequences.unreadable) == 1 and "5.png" in next(iter(sequences.unreadable.values()))


def _without_points(folder):
    (folder / "sparse/0/points3D.txt").write_text("")
    images = folder / "sparse/0/images.txt"
    images.write_text("\n".join("" if i % 2 else line for i, line in enumerate(images.read_text().splitlines())))


def _without_images(folder):
    for path in (folder / "images").iterdir():
        path.unlink()


def _turned(folder):
    for path in (folder / "images").iterdir():
        write_image(path, np.zeros((W, H, 3), np.uint8))


def _broken_pose(folder):
    images = folder / "sparse/0/images.txt"
    images.write_text(images.read_text().replace("1 1 0 0 0", "1 nan 0 0 0", 1))


@pytest.mark.parametrize(
    ("spoil", "options", "message"),
    [
        (_without_points, {}, "no 3D points"),
        (_without_images, {}, r"none of the model's 6 images is here, such as 0\.png"),
        (_turned, {}, r"0x80 px, but its camera has 80x60"),
        (_broken_pose, {}, "0.png|not a readable COLMAP model"),
        (lambda folder: None, {"overlap": (0.98, 1.0)}, r"overlaps in \[0.98, 1.0\]: none found"),
        (lambda folder: None, {"num_frames": 9}, "no set has the 9 frames"),
        (
            lambda folder: add_depth(folder, size=(40, 40)),
            {},
            r"geometric\.bin: 40x40 px, but its camera",
        ),
        (
            lambda folder: add_depth(folder, value=1000 * DEPTH),
            {},
            r"the depth map of \d\.png is 1e\+03 times as deep as the model's points: another unit",
        ),
        (lambda folder: (folder / "sparse/0/cameras.txt").unlink(), {}, "no COLMAP model in"),
    ],
)
def test_what_cannot_be_trained_on_is_one_clear_error(tmp_path, spoil, options, message):
    folder = workspace(tmp_path)
    spoil(folder)
    with warnings.catch_warnings(), pytest.raises(TraqPointError, match=message):
        warnings.simplefilter("ignore")
        source(folder, **options).sample(1, generator())


def test_depth_maps_of_a_distorted_camera_are_refused(tmp_path):
    folder = workspace(tmp_path, model="SIMPLE_RADIAL")
    add_depth(folder)
    with pytest.raises(GeometryError, match="image_undistorter"):
        ColmapSet(folder).frame(0)


def test_workspaces_with_and_without_depth_mix(tmp_path):
    dense, sparse = workspace(tmp_path / "dense"), workspace(tmp_path / "sparse")
    add_depth(dense)
    sequences = source(dense, sparse)
    kinds = {type(sequences.sample(1, generator(seed)).geometry) for seed in range(8)}
    assert kinds == {DepthGeometry, SparseGeometry}


def test_a_radius_without_pixels_is_refused():
    with pytest.raises(ConfigError, match="radius_px"):
        ColmapConfig(radius_px=0.1)


@pytest.mark.slow
def test_both_stages_train_on_real_reconstructions(real):
    sequences = PosedSequences([real], ColmapConfig(image_size=(128, 96), num_frames=3))
    torch.manual_seed(0)
    model = TraqPoint().train()
    for seed in range(2):
        batch = sequences.sample(1, generator(seed))
        assert 0.002 < float(batch.geometry.valid(0).float().mean()) < 0.9
        loss, stats = descriptor_step(batch, model, DescriptorConfig(points_per_frame=128), generator(seed))
        loss.backward()
        assert bool(torch.isfinite(loss)) and stats["loss"] > 0
    frozen(model.descriptor)
    for seed in range(2):
        batch = sequences.sample(1, generator(seed))
        loss, stats = policy_step(batch, model, PolicyConfig(), Weights(1.0, 0.0), generator(seed))
        loss.backward()
        assert bool(torch.isfinite(loss)) and stats["reward"] > 0


@pytest.mark.slow
def test_real_observations_land_on_the_observations_of_the_other_image(real):
    """Within the models' own reprojection errors, although they were taken through distortion, resize and crop."""
    target = int(real.shares(0).argsort(descending=True)[1])
    a, b = (fit_frame(real.frame(i), (400, 300)) for i in (0, target))
    geometry = stack_tracks([[a, b]], 2.5)
    xy_a, xy_b = ((f.observations.rays @ f.K.T)[:, :2].float() for f in (a, b))
    common, where_a, where_b = np.intersect1d(
        a.observations.points.numpy(), b.observations.points.numpy(), return_indices=True
    )
    warped = geometry.warp(0, 1, xy_a[where_a][None])
    visible = warped.visible[0]
    error = (warped.xy[0] - xy_b[where_b]).norm(dim=-1)[visible]
    assert len(common) > 100 and float(visible.float().mean()) > 0.7
    assert float(error.median()) < 0.5 and float((error < 2.0).float().mean()) > 0.95
