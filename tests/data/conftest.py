import torch

# Small images on many threads are slower than on one, and much slower beside pytest-xdist.
torch.set_num_threads(1)
