"""Layer 2, the method (docs/method.md). `objective.objective` goes from logits to a loss; one idea per file."""
