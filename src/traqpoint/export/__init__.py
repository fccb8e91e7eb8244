"""Layer 5: the networks in other runtimes."""
