/** Every model that this project converts in its tests: exported programs in both dialects, single operators, Hugging Face folders. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { memorySource, type Model } from '@penjing/core';
import { convertHuggingFaceGraphs, openHuggingFaceFolder, openPt2 } from '@penjing/graph-io';
import { openFolder } from '@penjing/graph-io/node';
import { sweepFiles } from '../support/pt2-sweep.js';
import { testData } from './test-data.js';

export interface ConvertedModel {
  readonly id: string;
  readonly make: () => Promise<Model>;
}

const root = join(import.meta.dirname, '../..');
const fixtures = join(root, 'tests/fixtures');

/** One folder per kind of network; attention in operators of ai.onnx, which simplify may fuse. */
const folders = [
  ...['bert-bare', 'roberta-bare', 'distilbert-bare', 'electra-bare', 'mpnet-bare', 'modernbert-bare', 'deberta-v2-bare', 'albert-bare', 'vit-bare', 'deit-bare',
    'dinov2-classes', 'clip', 'siglip', 'convnext-bare', 'resnet-bare'].map((name) => `tests/fixtures/encoders/${name}`),
  ...['t5', 'bart', 'marian', 'whisper'].map((name) => `tests/fixtures/seq2seq/${name}`),
  ...['gpt2', 'gpt-neox', 'opt', 'mistral', 'qwen2', 'qwen3', 'phi3', 'gemma3', 'olmo2', 'smollm3', 'mixtral'].map((name) => `tests/fixtures/decoders/${name}`),
  'models/sapling',
];

export async function* convertedModels(kinds: readonly ('pt2' | 'sweep' | 'hf')[]): AsyncGenerator<ConvertedModel, void, undefined> {
  if (kinds.includes('pt2')) {
    for (const name of readdirSync(join(fixtures, 'pt2/models'))) if (name.endsWith('.pt2')) yield program(`pt2/${name}`, readFileSync(join(fixtures, 'pt2/models', name)));
    const resnet = testData && join(testData, 'models/resnet20-cifar10/resnet20.pt2');
    if (resnet) yield program('pt2/resnet20.pt2', readFileSync(resnet));
  }
  if (kinds.includes('sweep')) for (const [name, bytes] of sweepFiles()) if (name.endsWith('.pt2')) yield program(`sweep/${name}`, bytes);
  if (!kinds.includes('hf')) return;
  const stories = testData ? [{ name: 'hf/stories260k', path: join(testData, 'models/stories260k/hf') }] : [];
  for (const { name, path } of [...folders.map((folder) => ({ name: `hf/${folder.slice(folder.lastIndexOf('/') + 1)}`, path: join(root, folder) })), ...stories]) {
    const convert = async () => convertHuggingFaceGraphs(await openHuggingFaceFolder(openFolder(path)), { attention: 'standard' });
    for (const graph of (await convert()).keys()) yield { id: `${name}-${graph}`, make: async () => (await convert()).get(graph)! };
  }
}

function program(id: string, bytes: Uint8Array): ConvertedModel {
  return { id, make: () => openPt2(memorySource(bytes, id)) };
}
