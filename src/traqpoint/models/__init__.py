"""Layer 2: networks. Images in, logits and descriptors out; `detect` makes keypoints of logits."""
