/**
 * Computation in float16 with and without data to look for what overflows: `npx tsx --conditions=@penjing/source bench/half.ts NAME [EXAMPLES]`.
 * On onnxruntime, whose CPU kernels compute in float32 between Casts; with EXAMPLES the first of them on the reference engine, which rounds
 * every result to float16, as a GPU does.
 */
import { cloneModel, denseOf, type Feeds, type Fetches, type Model, toDense } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { halfPrecision } from '@penjing/quantize';
import { ortEngine, ortJobs } from '@penjing/runtime';
import { int8Cases, type Int8Case } from './int8-cases.js';

const [only = '', examples] = process.argv.slice(2);
/** Samples that limits are looked for on. */
const SAMPLES = 32;

async function outputs(model: Model, { evaluate }: Int8Case): Promise<Float32Array[]> {
  if (examples !== undefined) return onReference(model, evaluate);
  await using executor = await ortEngine({ threads: 1 }).load(cloneModel(model));
  return await evaluate((feeds) => executor.run(feeds));
}

async function onReference(model: Model, evaluate: Int8Case['evaluate']): Promise<Float32Array[]> {
  const tested: Feeds[] = [];
  await evaluate(async (feeds): Promise<Fetches> => {
    tested.push(feeds);
    return { output: denseOf('float32', [1], [0]), stateN: denseOf('float32', [1], [0]) };
  });
  const loaded = cloneModel(model);
  for (const value of loaded.graph.initializers.values()) value.tensor = await toDense(value.tensor!);
  await using executor = await referenceEngine().load(loaded);
  const rows: Float32Array[] = [];
  for (const feeds of tested.slice(0, Number(examples))) {
    const fetched = await executor.run(feeds);
    rows.push(Float32Array.from(Object.values(fetched).flatMap((tensor) => [...((tensor as { readonly data: Float32Array }).data)])));
  }
  return rows;
}

for (const make of int8Cases) {
  const found = await make();
  if (!found.name.toLowerCase().includes(only)) continue;
  const wanted = await outputs(found.model, found);
  for (const data of [false, true]) {
    await using jobs = ortJobs();
    const { model, warnings } = await halfPrecision().run(cloneModel(found.model), data ? { jobs, samples: found.calibrate.slice(0, SAMPLES) } : {});
    const got = await outputs(model, found);
    let [signal, noise, bad] = [0, 0, 0];
    wanted.forEach((row, r) => row.forEach((x, i) => {
      const y = got[r]![i]!;
      if (!Number.isFinite(y)) bad++;
      signal += x * x;
      noise += (x - y) ** 2;
    }));
    const half = [...model.graph.nodes()].filter(({ opType, outputs: [first] }) => opType !== 'Cast' && first?.type?.kind === 'tensor' && first.type.dtype === 'float16').length;
    const nodes = [...model.graph.nodes()].filter(({ opType }) => opType !== 'Cast').length;
    console.log(`| ${found.name} | ${data ? 'data' : 'no data'} | ${half} of ${nodes} | ${(10 * Math.log10(signal / noise)).toFixed(1)} | ${bad} |`);
    for (const warning of warnings) console.log(`  ${warning}`);
  }
}
