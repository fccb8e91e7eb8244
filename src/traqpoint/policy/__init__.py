"""Layer 2, the method: distribution, samples, rewards, advantages, loss. One idea per file."""
