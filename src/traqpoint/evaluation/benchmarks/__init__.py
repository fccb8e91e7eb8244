"""One file per benchmark: its options, what is predicted, and what is scored. Without torch until it runs."""
