/** Runs in a web worker: converts, prunes and quantizes the embedded model with nothing but what a browser has. */
import { type ByteSource, DenseTensor, type Feeds, PenjingError, type ValueInfo, inferShapes, inlineJobs, memorySource, pipeline } from '@penjing/core';
import { type ModelFolder, convertHuggingFaceGraphs, layoutToBytes, openHuggingFaceFolder, serializeOnnx } from '@penjing/graph-io';
import { wasmKernels } from '@penjing/kernels';
import { magnitudePrune } from '@penjing/compress';
import { gptqWeights } from '@penjing/quantize';
import { type OrtWebEngineOptions, ortWebEngine, randomFeeds } from '@penjing/runtime/web';

/** The module of ONNX Runtime, and where its WebAssembly lies. */
type OrtWeb = OrtWebEngineOptions['ort'] & { readonly env: { readonly wasm: { wasmPaths: string; numThreads: number } } };

/** Served beside the page, not bundled. */
const ORT: string = '/ort/ort.wasm.min.mjs';

/** What the page is given: windows of tokens to calibrate with, and one to run. */
interface Task {
  readonly files: readonly string[];
  readonly calibration: readonly (readonly number[])[];
  readonly question: readonly number[];
}

async function main(): Promise<unknown> {
  const ort = (await import(ORT)) as OrtWeb;
  ort.env.wasm.wasmPaths = '/ort/';
  ort.env.wasm.numThreads = 1;
  const { files, calibration, question } = (await (await fetch('/task.json')).json()) as Task;

  const opened = await openHuggingFaceFolder(webFolder('/model/', files));
  const [model] = (await convertHuggingFaceGraphs(opened, { attention: 'standard' })).values();
  inferShapes(model!);
  const inputs = model!.graph.inputs.map(({ name, type }) => ({ name, type: type! }));

  const engine = ortWebEngine({ ort });
  const jobs = inlineJobs({ engine, kernels: wasmKernels() });
  const passes = pipeline([magnitudePrune({ sparsity: 0.2 }), gptqWeights({ bits: 4, blockSize: 32, accuracyLevel: 1 })]);
  const started = performance.now();
  const { model: small, records } = await passes.run(model!, { jobs, samples: calibration.map((tokens) => feedsOf(inputs, tokens)) });
  const seconds = (performance.now() - started) / 1000;

  const [file] = serializeOnnx(small, { externalData: 'never' });
  const bytes = await layoutToBytes(file!);
  await fetch('/result/model.onnx', { method: 'POST', body: new Uint8Array(bytes) });
  await using executor = await engine.load(small);
  const { logits } = await executor.run(feedsOf(inputs, question), { outputs: ['logits'] });
  await fetch('/result/logits.f32', { method: 'POST', body: new Uint8Array((logits as DenseTensor).bytes) });
  return { engine: engine.name, seconds, bytes: bytes.length, records };
}

function feedsOf(inputs: readonly ValueInfo[], tokens: readonly number[]): Feeds {
  const length = tokens.length;
  const dims = { batch_size: 1, sequence_length: length, total_sequence_length: length, past_sequence_length: 0 };
  return { ...randomFeeds(inputs, { dims }), input_ids: DenseTensor.of('int64', [1, length], BigInt64Array.from(tokens, BigInt)) };
}

/** A model folder on a web server. */
function webFolder(base: string, files: readonly string[]): ModelFolder {
  return {
    name: base,
    list: () => Promise.resolve(files),
    async open(name): Promise<ByteSource> {
      const response = await fetch(base + name);
      if (!response.ok) throw new PenjingError('E_NOT_FOUND', `${base}${name}: ${response.status}`);
      return memorySource(new Uint8Array(await response.arrayBuffer()));
    },
  };
}

main().then(
  (result) => fetch('/result/done.json', { method: 'POST', body: JSON.stringify(result) }),
  (error: unknown) => fetch('/result/done.json', { method: 'POST', body: JSON.stringify({ error: error instanceof Error ? `${error.message}\n${error.stack}` : String(error) }) }),
);
