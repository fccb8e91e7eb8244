"""No public name without a docstring; those that users import say shapes, and what raises."""

import ast
import re
from pathlib import Path

import pytest

import traqpoint as tp

PACKAGE = Path(tp.__file__).parent
FILES = {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}
CLASSES = [node for tree in FILES.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
FRAMEWORK = {"forward", "run"}
"""Methods that say what their class says: of a torch module, and of a verb."""
SHAPE = re.compile(r"\(\d* ?[A-Z.][^)]*\)|\([\dN], *\d*\)|scalar")
"""(N, 2), (B, 3, H, W), (..., 2), (K,)."""


def methods(node):
    return [inner for inner in node.body if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_")]


DOCUMENTED = {method.name for node in CLASSES for method in methods(node) if ast.get_docstring(method)}
"""Names of methods that some class of the package describes: what overrides or answers a protocol need not again."""


def public(tree):
    """(name, node, docstring) of the public functions, classes and methods of a file."""
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            yield node.name, node, ast.get_docstring(node)
            if isinstance(node, ast.ClassDef):
                for method in methods(node):
                    yield f"{node.name}.{method.name}", method, ast.get_docstring(method)


def takes_its_docstring(node):
    """Whether a class says ``__doc__ = Other.__doc__``."""
    assigned = [target for s in node.body if isinstance(s, ast.Assign) for target in s.targets]
    return any(isinstance(target, ast.Name) and target.id == "__doc__" for target in assigned)


def test_every_file_and_every_public_name_has_a_docstring():
    for file in FILES:
        assert ast.get_docstring(FILES[file]), file
        for name, node, doc in public(FILES[file]):
            inherits = "." in name and node.name in DOCUMENTED | FRAMEWORK
            if isinstance(node, ast.ClassDef):
                inherits = takes_its_docstring(node)
            assert doc or inherits, f"{file}: {name}"


def raised(function):
    """Names of the package's errors that a function raises itself."""
    for node in ast.walk(function):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name):
            yield node.exc.func.id


def test_what_a_public_function_raises_is_in_its_docstring():
    """In its class's, in that of a method; verbs, whose errors are lines, and programs of the reader's excepted."""
    for file in FILES:
        classes = {
            node.name: ast.get_docstring(node) or "" for node in FILES[file].body if isinstance(node, ast.ClassDef)
        }
        for name, node, doc in public(FILES[file]):
            if isinstance(node, ast.FunctionDef) and doc and node.name not in FRAMEWORK:
                said = f"{doc} {classes.get(name.partition('.')[0], '')}"
                for error in set(raised(node)):
                    assert re.search(r"[Rr]aise|[Rr]efuse|error|Error", said), f"{file}: {name} raises {error}"


HOME = {name: (f"{tp._HOME[name].replace('.', '/')}.py") for name in tp._HOME}


@pytest.mark.parametrize("name", HOME)
def test_a_name_that_users_import_says_shapes_units_and_errors(name):
    (node,) = (n for n in FILES[HOME[name]].body if getattr(n, "name", "") == name)
    functions = [node] if isinstance(node, ast.FunctionDef) else methods(node)
    for function in functions:
        said = " ".join(filter(None, (ast.get_docstring(node), ast.get_docstring(function))))
        # A type of ours says its own shapes.
        hints = [argument.annotation for argument in (*function.args.args, *function.args.kwonlyargs)]
        tensors = any(hint is not None and "Tensor" in ast.unparse(hint) for hint in (*hints, function.returns))
        assert not tensors or SHAPE.search(said), f"{name}: {function.name} says no shape"
    if isinstance(node, ast.ClassDef) and not name.endswith("Error"):
        fields = [s for s in node.body if isinstance(s, ast.AnnAssign) and "Tensor" in ast.unparse(s.annotation)]
        assert not fields or SHAPE.search(ast.get_docstring(node)), f"{name} says no shape of its fields"
    said = " ".join(
        ast.get_docstring(n) or "" for n in ast.walk(node) if isinstance(n, (ast.ClassDef, ast.FunctionDef))
    )
    assert not set(raised(node)) or re.search(r"[Rr]aise|error", said), f"{name} does not say what it raises"


def test_the_pixels_of_a_public_type_have_their_unit():
    for name in ("Features", "Tracks"):
        (node,) = (n for n in FILES["types.py"].body if getattr(n, "name", "") == name)
        assert re.search(r"pixel|px", ast.get_docstring(node)), name


def test_every_reward_term_and_loss_says_where_it_comes_from():
    """The paper, the section of the method, or ours."""
    source = re.compile(r"method\.md|[Pp]aper|released|[Oo]urs|arXiv|et al|Eq\.|eq\.|§")
    for file in ("redetection", "rank", "maximum", "distinctiveness", "similarity", "advantage", "loss", "sampling"):
        assert source.search(ast.get_docstring(FILES[f"policy/{file}.py"])), file
