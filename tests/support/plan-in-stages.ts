/** A plan of a pipeline over several hosts, as `penjing plan` writes one for a device on each. */
import { readFile, stat } from 'node:fs/promises';
import { memorySource } from '@penjing/core';
import { readOnnx } from '@penjing/graph-io';
import { cutStages, type Plan } from '@penjing/parallel';

export async function planInStages(model: string, stages: number): Promise<Plan> {
  const parts = cutStages(await readOnnx(memorySource(await readFile(model))), { stages });
  const devices = parts.map((_, i) => ({ name: `cpu${i}`, host: `host${i}`, memoryBytes: 1e9, flops: 1e10, memoryBandwidth: 1e10, cores: 1 }));
  return {
    version: 1, goal: 'memory', model: { name: 'model', weightBytes: (await stat(model)).size, sizes: {} }, devices, links: [{ from: '*', to: '*', latency: 1e-4, bandwidth: 1e8 }],
    layout: { kind: 'pipeline', microBatches: 1, stages: parts.map((part, i) => ({ ...part, layout: { kind: 'device', device: `cpu${i}`, threads: 1 } })) },
    forecast: { latency: 1, throughput: 1, memory: {}, bubble: 0, efficiency: 1 }, reasons: [], considered: [],
  };
}
