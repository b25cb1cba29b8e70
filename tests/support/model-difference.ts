/** Compares what a model computes, saved and read again, with recorded outputs. */
import { check, type Checkpoint, type DenseTensor, type Engine, lazy, memorySource, type Model, toDense, typedView } from '@penjing/core';
import { layoutToBytes, readOnnx, serializeOnnx } from '@penjing/graph-io';
import { expect } from 'vitest';

/** Largest difference of any output from the recorded ones, `in.0`, `out.0` and so on, or the two that are named. */
export async function difference(model: Model, recorded: Checkpoint, engine: Engine, [inputs, outputs]: readonly [string, string] = ['in.', 'out.']): Promise<number> {
  expect(check(model)).toEqual([]);
  // Through a file: what is saved is what runs.
  const [layout] = serializeOnnx(model);
  const saved = await readOnnx(memorySource(await layoutToBytes(layout!)));
  await using executor = await engine.load(saved);
  const feeds: Record<string, DenseTensor> = {};
  for (const [i, input] of saved.graph.inputs.entries()) feeds[input.name] = await toDense(recorded.tensors.get(inputs + (inputs.endsWith('.') ? i : ''))!);
  const results = await executor.run(feeds);
  let worst = 0;
  for (const [i, output] of saved.graph.outputs.entries()) {
    const wanted = recorded.tensors.get(outputs + (outputs.endsWith('.') ? i : ''))!;
    const got = results[output.name]!;
    expect([...got.shape]).toEqual([...wanted.shape]);
    const [a, b] = await Promise.all([got, wanted].map(async (tensor) => typedView('float32', await lazy.cast(tensor, 'float32').load()) as Float32Array));
    b!.forEach((value, at) => (worst = Math.max(worst, Math.abs(a![at]! - value))));
  }
  return worst;
}
