"""What tests make, made on the device under test."""

import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch.overrides import TorchFunctionMode

TESTS = Path(__file__).parents[1]
FACTORIES = {
    *(torch.arange, torch.as_tensor, torch.empty, torch.eye, torch.from_numpy, torch.full, torch.linspace, torch.ones),
    *(torch.rand, torch.randint, torch.randn, torch.randperm, torch.tensor, torch.zeros),
}


def available_devices():
    """The CPU, and the GPU where there is one."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return ["cpu", *(name for name, is_there in there.items() if is_there)]


class MadeOn(TorchFunctionMode):
    """Tensors that a test makes without naming a device are on this one; those of the package are where it says.

    A test so reads the same on every device, and a tensor that the package forgot on the CPU does not mix with its.
    Numbers are drawn on the CPU, by its generators: they are the same on all devices.
    """

    def __init__(self, device):
        super().__init__()
        self.device = device

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        made = function(*args, **kwargs)
        by_a_test = TESTS in Path(sys._getframe(1).f_code.co_filename).parents
        if function not in FACTORIES or "device" in kwargs or not by_a_test:
            return made
        if self.device.type == "mps" and made.dtype == torch.float64:
            pytest.skip("MPS has no float64")
        return made.detach().to(self.device).requires_grad_(made.requires_grad)


@contextmanager
def made_on(device, module):
    """Tensors of a test module's own, and those that its tests make, on a device."""
    if device.type == "cpu":
        yield
        return
    with pytest.MonkeyPatch.context() as patch, MadeOn(device):
        for name, value in list(vars(module).items()):
            if isinstance(value, torch.Tensor):
                patch.setattr(module, name, value.to(device))
        yield
