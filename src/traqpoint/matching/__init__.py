"""Layer 2: from two sets of descriptors to correspondences."""
