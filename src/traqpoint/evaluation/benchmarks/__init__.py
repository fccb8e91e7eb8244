"""One file per benchmark: what is predicted, and what is scored."""
