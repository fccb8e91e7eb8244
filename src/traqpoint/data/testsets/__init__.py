"""What benchmarks are judged on: image pairs, planes and paths with their truth, from public file formats."""
