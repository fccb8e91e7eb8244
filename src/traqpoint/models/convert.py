"""Weights of others, read without running their code: the authors' checkpoints and public backbones."""

from __future__ import annotations

import hashlib
import io
import pickletools
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from traqpoint.errors import WeightsError
from traqpoint.models.traqpoint import MODELS, TraqPoint

LICENSE = "Apache-2.0 (authors' release); backbone: DINOv3 License"

_HARMLESS = r"collections\.OrderedDict|torch\.\w+|torch\._utils\.\w+"
_WRAPPERS = ("state_dict", "model", "model_state_dict", "net", "module")

Names = tuple[tuple[str, str], ...]
"""Regular expressions and replacements, applied in order: our name of a tensor -> the file's."""

AUTHORS: Names = (
    # DINOv3 registers its final norm twice; the authors' network reads it under the second name.
    (r"^descriptor\.backbone\.norm\.", "descriptor.backbone.norms.3."),
    (r"^descriptor\.backbone\.", "descriptor.backbone.0.dino."),
    (r"^descriptor\.encoder\.layers\.", "descriptor.transformer.encoder.layers."),
    (r"^descriptor\.encoder\.level_embed", "descriptor.transformer.level_embed"),
    (r"^descriptor\.matchability_head\.([01])\.", r"descriptor.matchability_head.\1.layer."),
    (r"^descriptor\.matchability_head\.", "descriptor.matchibility_head."),
)
AUTHORS_SPARE = r"^descriptor\.backbone\.0\.dino\.norm\."

_TRANSFORMERS: Names = (
    (r"^norm\.", "layer_norm."),
    (r"^stages\.(\d)\.", r"stages.\1.layers."),
    (r"^downsample_layers\.(\d)\.", r"stages.\1.downsample_layers."),
    (r"\.dwconv\.", ".depthwise_conv."),
    (r"\.norm\.", ".layer_norm."),
    (r"\.pwconv(\d)\.", r".pointwise_conv\1."),
)
"""DINOv3's ConvNeXt as in Hugging Face's transformers; in Meta's own files names are ours."""
_BACKBONE_SPARE = r"^norms\.|^fc\.|num_batches_tracked$"


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
        named = (("missing", self.missing), ("unexpected", self.unexpected), ("misshapen", self.misshapen))
        return [f"{what} {name}" for what, names in named for name in names]

    def summary(self) -> str:
        """One line: counts, and the first of each kind."""
        named = (("missing", self.missing), ("unexpected", self.unexpected), ("misshapen", self.misshapen))
        return "; ".join(f"{len(names)} {what} (first: {names[0]})" for what, names in named if names)


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """The state dict in a PyTorch or safetensors file: unwrapped, `module.` prefixes off, floats as float32.

    Raises WeightsError naming the file and the reason if it is missing, truncated, no state dict, holds NaN, or holds
    objects that only code could load: nothing in the file is ever executed.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: no such weight file")
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    while isinstance(content, Mapping) and not any(isinstance(v, Tensor) for v in content.values()):
        inner = next((content[key] for key in _WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            raise WeightsError(f"{path}: no state dict in it (its keys: {', '.join(map(str, list(content)[:5]))})")
        content = inner
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path}: holds a {type(content).__name__}, not a state dict")
    state = {}
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise WeightsError(f"{path}: not a state dict: {key!r} is a {type(value).__name__}")
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise WeightsError(f"{path}: {key} holds NaN or infinity")
        state[key] = value.float() if value.is_floating_point() else value
    while state and all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): value for key, value in state.items()}
    return state


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: not a readable safetensors file ({error})") from None


def _read_pickle(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception:
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


def file_names(module: nn.Module, names: Names = AUTHORS) -> dict[str, str]:
    """Names as in a file -> our names, of every tensor of `module`."""
    out = {}
    for key in module.state_dict():
        name = key
        for pattern, replacement in names:
            name = re.sub(pattern, replacement, name)
        out[name] = key
    return out


def fit(
    module: nn.Module, state: Mapping[str, Tensor], names: Names = (), spare: str = r"$^"
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


def convert(
    checkpoint: str | Path,
    out: str | Path,
    partial: bool = False,
    report: Callable[[Comparison], None] = lambda _: None,
) -> str:
    """Write the authors' checkpoint (`traqpoint_best.pth`, `stage1_des.pth`) as our traqpoint-b; returns its hash.

    `report` hears what does not fit before anything is written. partial: write all the same, what is missing with
    its initial values. Raises WeightsError if the file cannot be read, does not fit, or is another model's.
    """
    state = read_checkpoint(checkpoint)
    model = TraqPoint(MODELS["traqpoint-b"])
    fitting, comparison = fit(model, state, AUTHORS, AUTHORS_SPARE)
    report(comparison)
    if not fitting:
        raise WeightsError(f"{checkpoint}: another model's weights: {comparison.summary()}")
    if comparison and not partial:
        raise WeightsError(f"{checkpoint}: does not fit traqpoint-b: {comparison.summary()}")
    model.load_state_dict(fitting, strict=not partial)
    source = Path(checkpoint)
    metadata = {"license": LICENSE, "source": source.name, "source_sha256": _file_hash(source)}
    if comparison:
        metadata["initial_values"] = f"{len(comparison.missing) + len(comparison.misshapen)} tensors"
    return model.save_pretrained(out, metadata)


def _file_hash(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def load_backbone(backbone: nn.Module, path: str | Path) -> None:
    """Load a user's file into a backbone: DINOv3's ConvNeXt (Meta's .pth or transformers'), torchvision's ResNet-50.

    Raises WeightsError if the file does not fit.
    """
    state = read_checkpoint(path)
    names = _TRANSFORMERS if "layer_norm.weight" in state else ()
    fitting, comparison = fit(backbone, state, names, _BACKBONE_SPARE)
    if comparison:
        raise WeightsError(f"{path}: does not fit {type(backbone).__name__}: {comparison.summary()}")
    backbone.load_state_dict(fitting, strict=False)
