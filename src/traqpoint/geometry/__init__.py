"""Layer 1: pixels, transforms, cameras, depth, warps and sampling. Pure functions on tensors."""
