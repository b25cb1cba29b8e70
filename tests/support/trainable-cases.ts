/** Every converted fixture with feeds that its deployable graphs are known to read: for tests of what training makes of them. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bytesOf, DenseTensor, type DType, type Model } from '@penjing/core';
import { convertHuggingFaceGraphs, openHuggingFaceFolder } from '@penjing/graph-io';
import { openFolder } from '@penjing/graph-io/node';
import { recorded, type Recorded } from './hf-decoder.js';
import { recordedRuns } from './hf-recorded.js';

export type Tensors = Readonly<Record<string, DenseTensor>>;

export interface TrainableCase {
  /** Kind of fixture, folder and graph. */
  readonly name: string;
  readonly make: () => Promise<Model>;
  /** For the deployable model; caches are empty. */
  readonly feeds: () => Promise<Tensors>;
  /** Input that says which tokens are real, where padding may compute anything. */
  readonly mask?: string;
}

const fixtures = join(import.meta.dirname, '..', 'fixtures');

const ids = (from: Recorded, name: string): DenseTensor => new DenseTensor('int64', from.ids(name).shape, bytesOf(from.ids(name).data));

async function convert(path: string, graph: string): Promise<Model> {
  return (await convertHuggingFaceGraphs(await openHuggingFaceFolder(openFolder(path)))).get(graph)!;
}

/** Empty tensors for inputs that hold a past. */
export function emptyCaches(model: Model, batch: number): Tensors {
  return Object.fromEntries(model.graph.inputs.flatMap(({ name, type }) => {
    if (!name.startsWith('past_key_values') || type?.kind !== 'tensor') return [];
    const dims = type.shape!.map((dim) => (typeof dim === 'number' ? dim : dim === 'batch_size' ? batch : 0));
    return [[name, new DenseTensor(type.dtype as DType, dims, new Uint8Array(0))] as const];
  }));
}

function decoderCases(kind: 'decoders' | 'llama'): TrainableCase[] {
  return folders(kind).map((folder) => {
    const path = join(fixtures, kind, folder);
    return {
      name: `${kind}/${folder}`,
      make: () => convert(path, 'model'),
      // left-padded
      async feeds() {
        const file = await recorded(join(path, 'expected.safetensors'));
        return { input_ids: ids(file, 'batch.input_ids'), attention_mask: ids(file, 'batch.attention_mask'), position_ids: ids(file, 'batch.position_ids') };
      },
      mask: 'attention_mask',
    };
  });
}

async function encoderCases(): Promise<TrainableCase[]> {
  const { cases } = JSON.parse(readFileSync(join(fixtures, 'encoders', 'cases.json'), 'utf8')) as { readonly cases: readonly { readonly name: string; readonly tasks: readonly string[]; readonly causal?: boolean }[] };
  const found: TrainableCase[] = [];
  for (const { name, tasks, causal } of cases) {
    const path = join(fixtures, 'encoders', name);
    const runs = [...(await recordedRuns(join(path, 'expected.safetensors'), tasks[0]!)).values()];
    for (const [graph, model] of await convertHuggingFaceGraphs(await openHuggingFaceFolder(openFolder(path)))) {
      const inputs = model.graph.inputs.map((input) => input.name).sort().join();
      const run = runs.find((each) => Object.keys(each.inputs).sort().join() === inputs);
      if (!run) throw new Error(`nothing was recorded for ${name}/${graph}`);
      found.push({ name: `encoders/${name}/${graph}`, make: () => convert(path, graph), feeds: async () => run.inputs, ...(causal && { mask: 'attention_mask' }) });
    }
  }
  return found;
}

function seq2seqCases(): TrainableCase[] {
  return folders('seq2seq').flatMap((folder) => {
    const path = join(fixtures, 'seq2seq', folder);
    const file = (): Promise<Recorded> => recorded(join(path, 'expected.safetensors'));
    const floats = (from: Recorded, name: string): DenseTensor => DenseTensor.of('float32', from.floats(name).shape, from.floats(name).data);
    const audio = folder.startsWith('whisper');
    return [
      {
        name: `seq2seq/${folder}/encoder_model`, make: () => convert(path, 'encoder_model'),
        async feeds(): Promise<Tensors> {
          const from = await file();
          return audio ? { input_features: floats(from, 'encoder.input_features') } : { input_ids: ids(from, 'encoder.input_ids'), attention_mask: ids(from, 'encoder.attention_mask') };
        },
        ...(!audio && { mask: 'attention_mask' }),
      },
      {
        name: `seq2seq/${folder}/decoder_model_merged`, make: () => convert(path, 'decoder_model_merged'),
        async feeds(): Promise<Tensors> {
          const from = await file();
          return {
            input_ids: ids(from, 'decoder.input_ids'), encoder_hidden_states: floats(from, 'encoder.last_hidden_state'), use_cache_branch: new DenseTensor('bool', [1], Uint8Array.of(0)),
            ...(!audio && { encoder_attention_mask: ids(from, 'encoder.attention_mask') }),
          };
        },
      },
    ];
  });
}

function folders(kind: string): string[] {
  return readdirSync(join(fixtures, kind), { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));
}

export async function trainableCases(): Promise<TrainableCase[]> {
  return [...decoderCases('decoders'), ...decoderCases('llama'), ...(await encoderCases()), ...seq2seqCases()];
}
