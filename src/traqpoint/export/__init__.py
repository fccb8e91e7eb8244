"""Layer 4: the networks in other runtimes."""
