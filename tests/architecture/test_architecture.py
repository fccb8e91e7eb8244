"""The rules of the house: layers, file sizes, and calls that have one place."""

import ast
import importlib.util
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "traqpoint"
FILES = sorted(PACKAGE.rglob("*.py"))
TREES = {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text()) for path in FILES}
ROWS = re.findall(r"^\| (\d+) \| (.+?) \|", (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8"), re.MULTILINE)
LAYERS = [set(re.findall(r"`(\w+)`", rooms)) for _, rooms in ROWS]
"""The table of ARCHITECTURE.md, lowest layer first: the page and the rule are one."""
LAYER = {name: i for i, names in enumerate(LAYERS) for name in names}
FORBIDDEN_AT_IMPORT = ("cv2", "h5py", "pycolmap", "matplotlib", "onnx", "kornia", "skimage")


def part(file):
    """geometry/warp.py -> geometry, types.py -> types."""
    return file.split("/")[0].removesuffix(".py")


def imports(tree):
    """Full names of everything imported from the package, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.split(".")[0] == "traqpoint")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}"
            if node.module and node.module.split(".")[0] == "traqpoint":
                yield from (f"{node.module}.{a.name}" for a in node.names)


def module_of(name):
    """The file that an imported name comes from: the longest prefix that is one."""
    parts = name.split(".")[1:]
    for n in range(len(parts), 0, -1):
        for file in ("/".join(parts[:n]) + ".py", "/".join(parts[:n]) + "/__init__.py"):
            if file in TREES:
                return file
    return "__init__.py"


def test_the_table_of_layers_names_every_room_once():
    assert [int(number) for number, _ in ROWS] == list(range(len(ROWS)))
    named = [name for _, rooms in ROWS for name in re.findall(r"`(\w+)`", rooms)]
    assert sorted(named) == sorted({part(file) for file in TREES})


def test_every_room_says_its_layer():
    for room, layer in LAYER.items():
        if f"{room}/__init__.py" in TREES:
            assert ast.get_docstring(TREES[f"{room}/__init__.py"]).startswith(f"Layer {layer}"), room


def calls(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def test_a_file_imports_only_from_lower_layers_or_its_own_part():
    for file in TREES:
        assert part(file) in LAYER, f"{part(file)} belongs to no layer"
        for name in imports(TREES[file]):
            other = part(module_of(name))
            tracking_uses_matching = (part(file), other) == ("tracking", "matching")
            flat = part(file) in LAYERS[0] | LAYERS[1]
            allowed = other == part(file) or LAYER[other] < LAYER[part(file)] or tracking_uses_matching
            allowed = allowed or (flat and LAYER[other] == LAYER[part(file)])
            assert allowed, f"{file} imports {name}"


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["src", "benchmarks", "examples"])
def test_nothing_outside_of_cli_imports_it(folder):
    """The command line parses, calls and prints: what it calls is there for programs too."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        inside = PACKAGE / "cli" in path.parents
        found = [name for name in imports(ast.parse(path.read_text())) if name.startswith("traqpoint.cli")]
        assert inside or not found, f"{path.relative_to(ROOT)} imports {found[0]}"


def test_no_file_is_in_a_circle_of_imports():
    graph = {file: {module_of(name) for name in imports(tree)} - {file} for file, tree in TREES.items()}
    # A package's own __init__ is loaded first anyway; what it gathers is no dependency of its members.
    graph = {file: {o for o in others if not o.endswith("__init__.py")} for file, others in graph.items()}
    done = set()
    while ready := {file for file in graph if file not in done and graph[file] <= done | {file}}:
        done |= ready
    assert not set(graph) - done


def test_no_file_is_longer_than_300_lines():
    for path in FILES:
        assert len(path.read_text().splitlines()) <= 300, path


def test_calls_that_have_one_place():
    for file in TREES:
        for call in calls(TREES[file]):
            name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
            where = f"{file}:{call.lineno}"
            if name == "grid_sample":
                assert file in ("geometry/sampling.py", "models/deformable.py"), where
            if isinstance(call.func, ast.Name):
                assert name not in ("eval", "exec"), where
                assert name != "print" or part(file) == "cli", where
            for keyword in call.keywords:
                if keyword.arg == "align_corners" and getattr(keyword.value, "value", None) is not False:
                    assert part(file) == "models", where


def test_no_absolute_path_is_written_down():
    for file in TREES:
        for node in ast.walk(TREES[file]):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                absolute = re.match(r"(/[\w.-]+){2,}|[A-Za-z]:\\|~/", node.value)
                assert not absolute, f"{file}:{node.lineno} {node.value!r}"


def test_what_belongs_to_a_class_says_its_type():
    """On Python 3.10 the command line cannot read a dataclass with a plain ClassVar."""
    for file in TREES:
        for node in ast.walk(TREES[file]):
            if isinstance(node, ast.AnnAssign):
                assert getattr(node.annotation, "id", "") != "ClassVar", f"{file}:{node.lineno}"


def test_importing_the_package_loads_no_optional_library():
    code = f"import sys, traqpoint; print([m for m in {FORBIDDEN_AT_IMPORT} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


LINTERS = [["ruff", "check"], ["ruff", "format", "--check"], ["mypy"]]


@pytest.mark.parametrize("command", LINTERS, ids=" ".join)
def test_the_linters_are_content(command):
    if importlib.util.find_spec(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed: pip install -e '.[dev]'")
    out = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)
    assert out.returncode == 0, out.stdout + out.stderr


PYTHONS = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', (ROOT / "pyproject.toml").read_text())


@pytest.mark.slowest
@pytest.mark.parametrize("version", PYTHONS)
def test_the_types_are_right_on_every_python(version):
    pytest.importorskip("mypy")
    command = [sys.executable, "-m", "mypy", "--python-version", version]
    out = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert out.returncode == 0, out.stdout + out.stderr


def test_pre_commit_runs_the_linters_of_the_environment_as_this_test_does():
    repositories = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    hooks = [hook for repository in repositories for hook in repository["hooks"]]
    assert [hook["entry"].split() for hook in hooks] == [["python", "-m", *command] for command in LINTERS]
    assert all(hook["language"] == "system" and not hook["pass_filenames"] for hook in hooks)


@cache
def mentions(node):
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}


IDENTITIES = ("PeerConfig", "StoredConfig")
"""Filled in by code, to say in a result's protocol what made it: nothing has to act on them."""
CLASSES = [(node, file) for file, tree in TREES.items() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
CONFIGURATIONS = {
    node.name: (node, file)
    for node, file in CLASSES
    if node.name.endswith(("Config", "Training")) and node.name not in IDENTITIES
}


@cache
def reads(node):
    """Names of all attributes that are read, but for a configuration's checks of itself."""
    if isinstance(node, ast.FunctionDef) and node.name == "__post_init__":
        return set()
    here = {node.attr} if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) else set()
    return here.union(*(reads(child) for child in ast.iter_child_nodes(node)))


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_field_of_a_configuration_is_read_by_some_code(name):
    """By its own file, or by one that names it or a class that is made of it, or from it."""
    node, file = CONFIGURATIONS[name]
    fields = {s.target.id for s in node.body if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)}
    handles = {name, *(other.name for other, _ in CLASSES if name in mentions(other))}
    users = [TREES[file], *(tree for tree in TREES.values() if handles & mentions(tree))]
    assert not fields.difference(*(reads(tree) for tree in users)), f"{file}: unread fields of {name}"


ROOMS = {path.parent.relative_to(PACKAGE).as_posix() for path in FILES}
BESIDE = {"architecture", "benchmarks", "docs", "examples"}
"""Folders of tests of something else than a room of the package."""


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("test_*.py")), ids=lambda path: path.stem)
def test_a_file_of_tests_lies_in_the_room_that_it_tests(path):
    folder = path.parent.relative_to(ROOT / "tests").as_posix()
    assert folder in ROOMS | BESIDE, f"src/traqpoint/{folder} does not exist"
