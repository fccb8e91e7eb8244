"""Layer 3, part of inference: what computes a network's dense part; `config.RUNTIMES` names them."""
