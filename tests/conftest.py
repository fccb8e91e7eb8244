import os

# One thread per test process: xdist and small tensors gain nothing from more, and a loaded machine loses much.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
