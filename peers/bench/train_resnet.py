"""Times training steps of a ResNet-14 on pictures of 28 x 28 in PyTorch on the CPU: cross-entropy, SGD with momentum. `bench/train-step.ts` runs it beside ours.

usage: train_resnet.py BATCH STEPS THREADS
"""
import json
import math
import resource
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

batch, steps, threads = map(int, sys.argv[1:4])
torch.set_num_threads(threads)
WIDTHS = [16, 32, 64]


def conv(inputs, outputs, size, stride):
    layer = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
    fill(layer.weight)
    return layer


def fill(weight):
    count = torch.arange(weight.numel(), dtype=torch.float64)
    with torch.no_grad():
        weight.copy_((math.sqrt(4 / weight[0].numel()) * torch.sin(1 + 12.9898 * count)).reshape(weight.shape))


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1, self.norm1 = conv(inputs, outputs, 3, stride), nn.BatchNorm2d(outputs)
        self.conv2, self.norm2 = conv(outputs, outputs, 3, 1), nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs)) if stride > 1 else nn.Identity()

    def forward(self, x):
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


layers, inputs = [conv(1, WIDTHS[0], 3, 1), nn.BatchNorm2d(WIDTHS[0]), nn.ReLU()], WIDTHS[0]
for stage, outputs in enumerate(WIDTHS):
    for block in range(2):
        layers.append(Block(inputs, outputs, 2 if stage > 0 and block == 0 else 1))
        inputs = outputs
head = nn.Linear(inputs, 10)
fill(head.weight)
nn.init.zeros_(head.bias)
model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head).train()
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
i = torch.arange(batch * 28 * 28, dtype=torch.float64)
x = (torch.sin(0.73 * i) * torch.cos(0.0053 * i)).float().reshape(batch, 1, 28, 28)
labels = (7 * torch.arange(batch)) % 10
times, cpu, losses = [], [], []
for _ in range(steps):
    started, used = time.perf_counter(), time.process_time()
    loss = F.cross_entropy(model(x), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    times.append(1000 * (time.perf_counter() - started))
    cpu.append(1000 * (time.process_time() - used))
    losses.append(loss.item())
running = [buffer.tolist()[:3] for name, buffer in model.named_buffers() if "running" in name][:2]
print(json.dumps({"ms": times, "cpu": cpu, "losses": losses, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "running": running}))
