"""Times NumPy's SVD, once for every line it reads: `FILE ROWS COLS RANK`, FILE holding float32, row-major. NumPy knows the whole SVD only; RANK says
how much of it counts. `bench/svd.ts` runs it beside ours.

usage: svd.py [THREADS]
"""
import os
import sys

# read when NumPy loads its BLAS
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = sys.argv[1] if len(sys.argv) > 1 else "2"

import json  # noqa: E402
import time  # noqa: E402

import numpy as np  # noqa: E402

for line in sys.stdin:
    path, rows, cols, rank = line.split()
    matrix = np.fromfile(path, dtype=np.float32).reshape(int(rows), int(cols))
    started, cpu = time.perf_counter(), time.process_time()
    _, values, _ = np.linalg.svd(matrix, full_matrices=False)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    squares = values.astype(np.float64) ** 2
    print(json.dumps({"seconds": seconds, "cpu": cpu, "left": float(1 - squares[: int(rank)].sum() / squares.sum()), "first": float(values[0]), "last": float(values[int(rank) - 1])}), flush=True)
