"""GPTQ and AWQ of one layer in PyTorch, written from the papers: what ours are measured against.

Weights are (outputs, inputs); H = XᵀX over the calibration rows. Grids are those of ONNX Runtime's MatMulNBits: one scale (and zero
point) per block of neighbouring inputs, from the range of the block. Nothing here is needed by Penjing.
"""
import torch


def make_grid(w, bits, symmetric):
    """Scale and zero point of each row of w (outputs, block)."""
    half, top = 2 ** (bits - 1), 2**bits - 1
    low, high = w.amin(1), w.amax(1)
    if symmetric:
        extreme = torch.where(high.abs() > low.abs(), high, low)
        scale = -extreme / half
        zero = torch.full_like(scale, half)
    else:
        low, high = low.clamp(max=0), high.clamp(min=0)
        scale = (high - low) / top
        zero = torch.where(scale == 0, torch.zeros_like(scale), torch.round(-low / scale)).clamp(0, top)
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    return scale, zero


def round_to(w, scale, zero, bits):
    return (torch.clamp(torch.round(w / scale) + zero, 0, 2**bits - 1) - zero) * scale


def nearest(w, bits, block, symmetric):
    """Round to nearest, block by block."""
    out = torch.empty_like(w)
    for start in range(0, w.shape[1], block):
        part = w[:, start : start + block]
        scale, zero = make_grid(part, bits, symmetric)
        out[:, start : start + block] = round_to(part, scale[:, None], zero[:, None], bits)
    return out


def objective(w, q, h):
    d = (w - q).double()
    return 0.5 * torch.sum((d @ h.double()) * d).item()


def gptq(w, h, bits, block, symmetric, damping=0.01, order="inputs", lazy=128):
    """Frantar et al. 2022, algorithm 1: columns one after the other, the rest corrected by the inverse Hessian.

    order: "none"; "inputs", their act-order with static groups (the grids of the blocks are those of the original weights, fixed
    before, and all inputs are sorted); "blocks": whole blocks sorted, grids made when a block is reached.
    """
    w = w.clone()
    outputs, inputs = w.shape
    h = h.clone()
    diagonal = torch.diagonal(h)
    dead = diagonal == 0
    diagonal[dead] = 1
    w[:, dead] = 0
    active = torch.diagonal(h).clone()
    grids = None
    if order == "inputs":
        grids = [make_grid(w[:, at : at + block], bits, symmetric) for at in range(0, inputs, block)]
        perm = torch.argsort(active, descending=True)
    elif order == "blocks":
        starts = list(range(0, inputs, block))
        means = torch.stack([active[at : at + block].mean() for at in starts])
        last = [starts.pop()] if inputs % block else []
        ranked = [starts[i] for i in torch.argsort(means[: len(starts)], descending=True, stable=True).tolist()] + last
        perm = torch.cat([at + torch.argsort(active[at : at + block], descending=True, stable=True) for at in ranked])
    else:
        perm = torch.arange(inputs)
    w, h = w[:, perm], h[perm][:, perm]
    h.diagonal().add_(damping * h.diagonal().mean())
    upper = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(h)), upper=True)
    q = torch.zeros_like(w)
    scale = zero = None
    for first in range(0, inputs, lazy):
        last = min(first + lazy, inputs)
        part = w[:, first:last].clone()
        errors = torch.zeros_like(part)
        inverse = upper[first:last, first:last]
        for i in range(last - first):
            at = first + i
            if grids is not None:
                scale, zero = grids[int(perm[at]) // block]
            elif at % block == 0:
                # what the columns of the block are now, those after this lazy batch without its corrections, as in the authors' code
                now = torch.cat([part[:, i:], w[:, last : at + block]], 1)[:, :block] if at + block > last else part[:, i : i + block]
                scale, zero = make_grid(now, bits, symmetric)
            column = part[:, i]
            rounded = round_to(column, scale, zero, bits)
            q[:, at] = rounded
            error = (column - rounded) / inverse[i, i]
            part[:, i:] -= error[:, None] * inverse[i, i:][None, :]
            errors[:, i] = error
        w[:, last:] -= errors @ upper[first:last, last:]
    out = torch.empty_like(q)
    out[:, perm] = q
    return out


def awq(ws, h, magnitudes, bits, block, symmetric, clip=True, steps=20):
    """Lin et al. 2023: s = x̄^α for the α of least output error of all matrices that read the activation, then a clip per block.

    Returns the matrices as they act on the original activation, and α.
    """
    best = (float("inf"), None, 0.0)
    for step in range(steps):
        alpha = step / steps
        s = magnitudes.pow(alpha).clamp(min=1e-4)
        s = s / (s.max() * s.min()).sqrt()
        cost = sum(objective(w, nearest(w * s, bits, block, symmetric) / s, h) for w in ws)
        if cost < best[0]:
            best = (cost, s, alpha)
    _, s, alpha = best
    metric = h / (s[:, None] * s[None, :])
    out = []
    for w in ws:
        scaled = w * s
        out.append(nearest(auto_clip(scaled, metric, bits, block, symmetric) if clip else scaled, bits, block, symmetric) / s)
    return out, alpha


def auto_clip(w, h, bits, block, symmetric, steps=10, parts=20):
    """The largest magnitude that stays, block by block, for the least error of the outputs over the inputs of that block."""
    w = w.clone()
    for start in range(0, w.shape[1], block):
        part = w[:, start : start + block].clone()
        metric = h[start : start + block, start : start + block]
        most = part.abs().amax(1, keepdim=True)
        least = torch.full((part.shape[0],), float("inf"))
        best = most.clone()
        for step in range(steps):
            limit = most * (1 - step / parts)
            cut = torch.maximum(torch.minimum(part, limit), -limit)
            scale, zero = make_grid(cut, bits, symmetric)
            d = part - round_to(cut, scale[:, None], zero[:, None], bits)
            cost = ((d @ metric) * d).sum(1)
            better = cost < least
            least = torch.where(better, cost, least)
            best[better] = limit[better]
        w[:, start : start + block] = torch.maximum(torch.minimum(part, best), -best)
    return w
