"""SparseGPT and Wanda in PyTorch, from the papers.

Frantar and Alistarh 2023 (arXiv:2301.00774), algorithm 1, blocks of 128 and damping 0.01; Sun et al. 2023 (arXiv:2306.11695).
"""

import torch

BLOCK = 128


def damped(h, damping=0.01):
    h = h.clone()
    mean = h.diagonal().mean()
    h.diagonal().add_(damping * mean)
    return h


def sparsegpt(w, h, sparsity=0.5, pattern=None):
    """w (outputs, inputs), h (inputs, inputs) with its damping; gives the pruned weights."""
    w = w.clone()
    inputs = w.shape[1]
    inverse = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(h)), upper=True)
    for start in range(0, inputs, BLOCK):
        end = min(start + BLOCK, inputs)
        part = w[:, start:end].clone()
        pruned = torch.zeros_like(part)
        errors = torch.zeros_like(part)
        u = inverse[start:end, start:end]
        if pattern is None:
            scores = part**2 / u.diagonal().reshape(1, -1) ** 2
            limit = scores.flatten().sort()[0][round(scores.numel() * sparsity)]
            gone = scores < limit
        else:
            gone = torch.zeros_like(part, dtype=torch.bool)
        for i in range(end - start):
            if pattern is not None and i % pattern[1] == 0:
                group = part[:, i : i + pattern[1]] ** 2 / u.diagonal()[i : i + pattern[1]].reshape(1, -1) ** 2
                least = group.topk(group.shape[1] - pattern[0], dim=1, largest=False)[1]
                gone.scatter_(1, i + least, True)
            column = part[:, i]
            kept = torch.where(gone[:, i], torch.zeros_like(column), column)
            pruned[:, i] = kept
            error = (column - kept) / u[i, i]
            part[:, i:] -= error.unsqueeze(1) @ u[i, i:].unsqueeze(0)
            errors[:, i] = error
        w[:, start:end] = pruned
        w[:, end:] -= errors @ inverse[start:end, end:]
    return w


def wanda(w, squares, sparsity=0.5, pattern=None):
    scores = w.abs() * squares.sqrt().reshape(1, -1)
    gone = torch.zeros_like(w, dtype=torch.bool)
    if pattern is None:
        gone.scatter_(1, scores.sort(dim=1, stable=True)[1][:, : round(sparsity * w.shape[1])], True)
    else:
        for start in range(0, w.shape[1], pattern[1]):
            part = scores[:, start : start + pattern[1]]
            gone.scatter_(1, start + part.topk(part.shape[1] - pattern[0], dim=1, largest=False)[1], True)
    return torch.where(gone, torch.zeros_like(w), w)
