/** llama.cpp reads the GGUF files that we write, with their tokenizers, and says the same greedy tokens as our runtime. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import {
  convertHuggingFace, type GgufFile, ggufLayout, ggufToHuggingFace, openGguf, openHuggingFaceFolder, serializeOnnx, transformersJsFiles, transformersJsModels,
} from '@penjing/graph-io';
import { fileSource, openFolder, saveLayouts } from '@penjing/graph-io/node';
import { loadGenerator, ortEngine } from '@penjing/runtime';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { checkpointName, ggufPlace, llamaNames } from '../packages/graph-io/src/gguf/names.js';
import { CachedDecoder, type Ids } from './support/hf-decoder.js';
import { roundActivations } from './support/ggml-rounding.js';
import { expectedOf, ggufCases, openCase } from './support/gguf-models.js';
import { testData } from './tools/test-data.js';

const execute = promisify(execFile);
/** The client's build for the processor is named by system. */
const fits = process.platform === 'linux' && process.arch === 'x64';
const clients = join(import.meta.dirname, 'clients/llama-cpp');
const NEW_TOKENS = 40;
let temporary = '';

beforeAll(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'penjing-llama-cpp-'));
  if (fits && !existsSync(join(clients, 'node_modules', 'node-llama-cpp'))) {
    // without its optional packages, which are builds for GPUs and other systems
    await execute('npm', ['install', '--no-package-lock', '--no-audit', '--no-fund', '--ignore-scripts', '--prefer-offline', '--omit=optional'], { cwd: clients });
  }
}, 300_000);
afterAll(() => rm(temporary, { recursive: true, force: true }));

interface Said {
  readonly promptTokens: readonly number[];
  readonly tokens: readonly number[];
}

async function llamaCpp(file: string, prompts: readonly string[], ids: readonly (readonly number[])[] = [], tokens = NEW_TOKENS): Promise<readonly Said[]> {
  const args = ['greedy.mjs', file, '--tokens', String(tokens), ...prompts.flatMap((prompt) => ['--prompt', prompt]), ...ids.flatMap((row) => ['--ids', row.join()])];
  const { stdout } = await execute(process.execPath, args, { cwd: clients, maxBuffer: 2 ** 26 });
  return (JSON.parse(stdout) as { results: Said[] }).results;
}

/**
 * Writes GGUF, reads it back into ONNX, and lets both run: the same greedy tokens. llama.cpp rounds activations before it multiplies
 * quantized weights, which we do not; so there our graph rounds them by llama.cpp's rule, and the tokens are the same again. `slack`: a
 * sum in another order may turn a code of 8 bits the other way, which moves logits by up to 0.06 for the rest of a text; where the
 * best two of ours are nearer than this, llama.cpp may say the other, and so may our generator, which reads prompts in one run.
 */
async function compare(folder: string, type: 'F32' | 'F16' | 'Q8_0' | 'Q4_0', prompts: readonly string[], slack = 0): Promise<void> {
  const source = await openHuggingFaceFolder(openFolder(folder));
  const json = async (name: string): Promise<Record<string, unknown>> => JSON.parse(await readFile(join(folder, name), 'utf8')) as Record<string, unknown>;
  const tokenizer = { tokenizerJson: await json('tokenizer.json'), tokenizerConfig: await json('tokenizer_config.json') };
  const gguf = join(temporary, `${type}-${prompts.length}-${Math.random()}`);
  await saveLayouts(gguf, ggufLayout({ ...source, tokenizer }, { type }));
  const file = join(gguf, 'model.gguf');
  const said = await llamaCpp(file, prompts);

  const written = await openGguf(await fileSource(file));
  const back = await ggufToHuggingFace(written, file);
  const onnx = `${gguf}-onnx`;
  const blocks = type === 'Q8_0' || type === 'Q4_0';
  const model = await convertHuggingFace(back, blocks ? { blocks: 'float' } : {});
  if (blocks) expect(roundActivations(model, weightTypes(written))).toBeGreaterThan(10);
  await saveLayouts(onnx, [...(await transformersJsFiles(back, [{ dtype: 'fp32' }])), ...serializeOnnx(model, { name: transformersJsModels.fp32 })]);
  await using generator = await loadGenerator(onnx);
  await using decoder = new CachedDecoder(await ortEngine({ threads: 1 }).load(model));
  for (const [i, prompt] of prompts.entries()) {
    const { promptTokens: ids, tokens: theirs } = said[i]!;
    const { tokens, promptTokens } = await generator.generate(prompt, { maxNewTokens: NEW_TOKENS });
    expect(promptTokens, prompt).toBe(ids.length);
    if (slack === 0) expect(tokens, `${type}: ${prompt}`).toEqual(theirs.slice(0, tokens.length));
    const parted = tokens.findIndex((token, place) => token !== theirs[place]);
    decoder.reset();
    let logits = await decoder.forward(idsOf(ids));
    let others = 0;
    for (const [place, token] of theirs.entries()) {
      const last = logits.data.subarray(logits.data.length - logits.shape.at(-1)!);
      expect(Math.max(...last) - last[token]!, `${type}: ${prompt}, ${token}`).toBeLessThanOrEqual(slack);
      if (place === parted) expect(Math.max(...last) - last[tokens[place]!]!, `${type}: ${prompt}, ours ${tokens[place]}`).toBeLessThanOrEqual(slack);
      if (Math.max(...last) > last[token]!) others++;
      logits = await decoder.forward(idsOf([token]));
    }
    expect(others, `${type}: ${prompt}`).toBeLessThanOrEqual(slack > 0 ? 2 : 0);
  }
}

const idsOf = (tokens: readonly number[]): Ids => ({ data: BigInt64Array.from(tokens, BigInt), shape: [1, tokens.length] });

/** Types of the weights of a Llama by their names in our graph; a tied head is the embedding table. */
function weightTypes({ tensors }: GgufFile): (weight: string) => string | undefined {
  const types = new Map([...tensors.values()].map(({ name, type }) => [checkpointName(llamaNames, ggufPlace(name)), type.name] as const));
  return (weight) => types.get(weight);
}

/** The vocabulary of the tiny models: what ASCII can show. */
const asciiTokenizer = {
  added_tokens: [{ id: 0, content: '<|end|>', special: true }],
  pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: true },
  model: { type: 'BPE', vocab: Object.fromEntries(['<|end|>', 'Ġ', ...Array.from({ length: 94 }, (_, i) => String.fromCharCode(33 + i))].map((token, id) => [token, id])), merges: [] },
};

/** In 8 bits, our generator and our own decoder, token by token, part at a pair of logits that are 0.02 from each other. */
const slackOf = { F32: 0, F16: 0, Q8_0: 0.06, Q4_0: 0.15 } as const;

test.skipIf(!fits).each(['F32', 'F16', 'Q8_0', 'Q4_0'] as const)('the embedded model in %s', async (type) => {
  const folder = join(import.meta.dirname, '../models/sapling');
  await compare(folder, type, ['First Citizen:\n', 'What say you', 'The king shall', '2 + 2'], slackOf[type]);
});

test.skipIf(!fits || !testData).each(['F32', 'F16', 'Q8_0', 'Q4_0'] as const)('stories260K in %s', async (type) => {
  await compare(join(testData!, 'models/stories260k/hf'), type, ['Once upon a time', 'Lily and Tom', 'The dog, who was 3,'], type === 'Q4_0' ? 0.15 : 0);
});

// llama.cpp has stopped to read experts that are not stacked; what we write of such a file it reads
test.skipIf(!fits).each(ggufCases.flatMap(({ name }) => [[name, 'F32'], [name, 'F16']] as const))('%s in %s says what transformers says', async (name, type) => {
  const { model } = await openCase(name);
  const { prompt, greedy } = await expectedOf(name);
  const ascii = { tokenizerJson: asciiTokenizer };
  const folder = join(temporary, `${name}-${type}`);
  await saveLayouts(folder, ggufLayout({ ...model, tokenizer: ascii }, { type }));
  const [said] = await llamaCpp(join(folder, 'model.gguf'), [], [Array.from(prompt.data, Number)], greedy.length);
  expect(said!.tokens).toEqual(greedy);
});
