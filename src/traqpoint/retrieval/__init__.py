"""Layer 2: which images look alike: global descriptors made of local ones, and their nearest neighbours."""
