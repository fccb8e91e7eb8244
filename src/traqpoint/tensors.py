"""Files of named tensors, whoever wrote them: read without running their code, and fitted to a network."""

from __future__ import annotations

import hashlib
import io
import pickletools
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from traqpoint.errors import WeightsError

_HARMLESS = r"collections\.OrderedDict|torch\.\w+|torch\._utils\.\w+"
_WRAPPERS = ("state_dict", "model", "model_state_dict", "net", "module")

Names = tuple[tuple[str, str], ...]
"""Regular expressions and replacements, applied in order: our name of a tensor -> the file's."""
NOTHING = r"(?!)"
"""A regular expression that no name matches."""


def read_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The state dict in a safetensors or PyTorch file, unwrapped and without ``module.`` prefixes, and its metadata.

    Raises WeightsError naming the file and the reason if it is missing, truncated, no state dict, holds NaN, or holds
    objects that only code could load: nothing in the file is ever executed.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: no such weight file")
    content, metadata = _read_safetensors(path) if _is_safetensors(path) else (_read_pickle(path), {})
    while isinstance(content, Mapping) and content and not any(isinstance(v, Tensor) for v in content.values()):
        inner = next((content[key] for key in _WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            raise WeightsError(f"{path}: no state dict in it (its keys: {', '.join(map(str, list(content)[:5]))})")
        content = inner
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path}: holds a {type(content).__name__}, not a state dict")
    state: dict[str, Tensor] = {}
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise WeightsError(f"{path}: not a state dict: {key!r} is a {type(value).__name__}")
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise WeightsError(f"{path}: {key} holds NaN or infinity")
        state[key] = value
    while state and all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): value for key, value in state.items()}
    return state, metadata


def _is_safetensors(path: Path) -> bool:
    """By name, or by content: the header's length in eight bytes, then JSON."""
    if path.suffix == ".safetensors":
        return True
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: truncated, or not a safetensors file ({error})") from None


def _read_pickle(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # the unpickler raises nearly everything for a damaged file
        if needed := _code_in(path):
            raise WeightsError(
                f"{path}: refused, loading it would run code ({needed}); save its state dict alone, with torch.save"
            ) from None
        raise WeightsError(f"{path}: truncated, or not a PyTorch file") from None


def _code_in(path: Path) -> str | None:
    """What a whole pickle would import besides tensors, read without executing it; None if it is not whole."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                data = archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))
        else:
            data = path.read_bytes()
        stream, strings = io.BytesIO(data), [""]
        # Files of before PyTorch 1.6 hold four pickles in a row: magic number, version, system, content.
        for _ in range(4):
            for code, argument, _ in pickletools.genops(stream):
                if isinstance(argument, str):
                    strings.append(argument.replace(" ", "."))
                name = ".".join(strings[-2:]) if code.name == "STACK_GLOBAL" else strings[-1]
                if code.name in ("GLOBAL", "STACK_GLOBAL") and not re.fullmatch(_HARMLESS, name):
                    foreign = name
                    break
            else:
                continue
            list(pickletools.genops(stream))  # raises if the file ends before the pickle does
            return foreign
    except (ValueError, StopIteration, OSError, KeyError):
        pass
    return None


@dataclass(frozen=True)
class Comparison:
    """What does not fit: names as in the file, with both shapes where only they differ."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshapen: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.misshapen)

    def lines(self) -> list[str]:
        """One line per tensor that does not fit."""
        return [f"{what} {name}" for what, names in self._named() for name in names]

    def summary(self) -> str:
        """One line: counts, and the first of each kind."""
        return "; ".join(f"{len(names)} {what} (first: {names[0]})" for what, names in self._named() if names)

    def _named(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        return ("missing", self.missing), ("unexpected", self.unexpected), ("misshapen", self.misshapen)


def file_names(module: nn.Module, names: Names = ()) -> dict[str, str]:
    """Names as in a file -> our names, of every tensor of `module`."""
    out = {}
    for key in module.state_dict():
        name = key
        for pattern, replacement in names:
            name = re.sub(pattern, replacement, name)
        out[name] = key
    return out


def fit(
    module: nn.Module, state: Mapping[str, Tensor], names: Names = (), spare: str = NOTHING
) -> tuple[dict[str, Tensor], Comparison]:
    """The tensors of `state` that `module` has a place for, under our names, and what does not fit.

    spare: regular expression of the file's names that may be there or not.
    """
    ours = file_names(module, names)
    tensors = module.state_dict()
    shapes = {name: list(tensors[key].shape) for name, key in ours.items()}
    found = {name: list(value.shape) for name, value in state.items()}
    comparison = Comparison(
        tuple(name for name in shapes if name not in found and not re.search(spare, name)),
        tuple(name for name in found if name not in shapes and not re.search(spare, name)),
        tuple(f"{n} {found[n]} instead of {s}" for n, s in shapes.items() if n in found and found[n] != s),
    )
    return {ours[n]: state[n] for n, s in shapes.items() if found.get(n) == s}, comparison


def load_strictly(
    module: nn.Module, state: Mapping[str, Tensor], name: str | Path, names: Names = (), spare: str = NOTHING
) -> None:
    """Load `state` from the file `name` into `module`; `names` and `spare` as for `fit`.

    Raises WeightsError that counts missing, unexpected and misshapen tensors.
    """
    fitting, comparison = fit(module, state, names, spare)
    if comparison:
        raise WeightsError(f"{name}: does not fit {type(module).__name__}: {comparison.summary()}")
    module.load_state_dict(fitting, strict=False)


def buffers_of(module: nn.Module) -> str:
    """`spare` for published files that lack some of the module's buffers, which are no weights."""
    return "|".join(rf"^{re.escape(name)}$" for name, _ in module.named_buffers()) or NOTHING


def content_hash(state: Mapping[str, Tensor]) -> str:
    """sha256 over names, shapes and bytes of all tensors, independent of their order in the file."""
    digest = hashlib.sha256()
    for key in sorted(state):
        tensor = state[key].detach().cpu().contiguous()
        digest.update(f"{key}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
