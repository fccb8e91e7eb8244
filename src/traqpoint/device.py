"""Where tensors live: from the name that a user gives to a device."""

from __future__ import annotations

import torch

from traqpoint.errors import ConfigError


def computes_in_bf16(device: torch.device) -> bool:
    """Whether the hardware does. A CPU that does not is ten times slower in bf16 than in float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def resolve_device(device: str) -> torch.device:
    """ "auto" is CUDA, else Apple's GPU, else the CPU. Raises ConfigError for a device that is not there."""
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        torch.empty(0, device=device)
        return torch.device(device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}") from None
