/** Hostile files through the whole command, each in a process with a cap on time and memory: a typed error or a sound result. */
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createRng } from '@penjing/core';
import { type Ended, penjing } from './support/penjing-process.js';
import { readTarGz } from './tools/tar.js';
import { testData } from './tools/test-data.js';

const SAPLING = fileURLToPath(new URL('../models/sapling', import.meta.url));
const CAPS = { milliseconds: 20_000, bytes: 700 * 2 ** 20, nodeOptions: ['--max-old-space-size=256'] } as const;

let folder: string;
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'penjing-hostile-'))));
afterAll(() => rm(folder, { recursive: true, force: true }));

/** What an ending must be, whatever the file: `accepted`, or the code of a typed error; anything else is told in words. */
function verdict({ code, signal, stdout, stderr, stopped }: Ended): string {
  if (stopped) return `stopped for its ${stopped}`;
  if (signal) return `died of ${signal}: ${stderr.slice(0, 200)}`;
  let value: { readonly error?: { readonly code: string; readonly message: string } };
  try {
    value = JSON.parse(stdout) as typeof value;
  } catch {
    return `exit ${code} with ${JSON.stringify(stdout.slice(0, 100))}, ${JSON.stringify(stderr.slice(0, 300))}`;
  }
  if (code === 0) return 'accepted';
  const { error } = value;
  if (code !== 1 || !error || error.code === 'E_INTERNAL') return `exit ${code}: ${error?.code} ${error?.message.slice(0, 200)}`;
  return error.code;
}

const typed = /^(accepted|E_[A-Z_]+)$/;

/** Runs a verb that writes; a failure may leave nothing but a work folder. */
async function writing(verb: string, input: string, output: string): Promise<string> {
  const found = verdict(await penjing([verb, input, '-o', output, '--json', '--threads', '1'], CAPS));
  return found !== 'accepted' && existsSync(output) ? `${found}, but ${output} is there` : found;
}

/** Two processes at a time. */
async function each<T>(items: readonly T[], body: (item: T, index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < items.length) {
      const index = next++;
      await body(items[index]!, index);
    }
  };
  await Promise.all([lane(), lane()]);
}

/** A copy of the embedded checkpoint by links, with some files of its own. */
function checkpoint(name: string, files: Readonly<Record<string, string | Uint8Array>>): string {
  const path = join(folder, name);
  mkdirSync(path, { recursive: true });
  for (const file of ['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json', 'generation_config.json']) {
    if (!(file in files)) symlinkSync(join(SAPLING, file), join(path, file));
  }
  for (const [file, content] of Object.entries(files)) if (content.length > 0) writeFileSync(join(path, file), content);
  return path;
}

const configText = readFileSync(join(SAPLING, 'config.json'), 'utf8');
const nested = `${'['.repeat(200_000)}${']'.repeat(200_000)}`;

describe.skipIf(!testData)('the hostile files of the test material (needs PENJING_TESTDATA)', () => {
  test.each(['hostile-synthetic', 'pickles'])('%s: inspect, convert and quantize', async (archive) => {
    const files = readTarGz(join(testData!, 'hostile', `${archive}.tar.gz`));
    const paths: string[] = [];
    for (const [name, bytes] of files) {
      const path = join(folder, archive, name);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, bytes);
      if (!/\.(tsv|txt|bin)$/.test(name)) paths.push(path);
    }
    const accepted: string[] = [];
    const wrong: string[] = [];
    await each(paths, async (path, i) => {
      const seen = { inspect: verdict(await penjing(['inspect', path, '--json', '--tensors'], CAPS)), convert: '', quantize: '' };
      if (path.endsWith('.safetensors')) {
        const home = checkpoint(`${archive}-${i}`, { 'model.safetensors': '' });
        copyFileSync(path, join(home, 'model.safetensors'));
        seen.convert = await writing('convert', home, join(folder, `${archive}-${i}-out`));
      } else {
        seen.convert = await writing('convert', path, join(folder, `${archive}-${i}.onnx`));
        seen.quantize = await writing('quantize', path, join(folder, `${archive}-${i}-q.onnx`));
      }
      for (const [verb, found] of Object.entries(seen)) {
        const what = `${verb} ${basename(dirname(path))}/${basename(path)}`;
        if (found !== '' && !typed.test(found)) wrong.push(`${what}: ${found}`);
        if (found === 'accepted') accepted.push(what);
      }
    });
    console.log(`${archive}: ${paths.length} files; accepted:\n${accepted.sort().join('\n')}`);
    expect(wrong).toEqual([]);
    // No broken checkpoint is converted, nothing of torch accepted; a GGUF file that names no architecture can be looked at.
    const harmless = /^(inspect|convert|quantize) (onnx|mutated|safetensors)\/|^inspect gguf\/no_arch\.gguf$/;
    expect(accepted.filter((what) => !harmless.test(what) || /^convert .*safetensors$/.test(what))).toEqual([]);
  });
});

describe('hostile Hugging Face folders', () => {
  /** Every ending is typed; the codes are printed. */
  async function judge(cases: readonly (readonly [name: string, run: (index: number) => Promise<string>])[]): Promise<Map<string, string>> {
    const found = new Map<string, string>();
    await each(cases, async ([name, run], i) => void found.set(name, await run(i)));
    console.log([...found].map(([name, ending]) => `${name}: ${ending}`).join('\n'));
    expect([...found].filter(([, ending]) => !typed.test(ending))).toEqual([]);
    return found;
  }

  test('config.json with fuzzed fields', async () => {
    const fields = ['hidden_size', 'intermediate_size', 'num_hidden_layers', 'num_attention_heads', 'num_key_value_heads', 'head_dim', 'vocab_size', 'max_position_embeddings', 'rms_norm_eps', 'rope_theta', 'rope_scaling', 'tie_word_embeddings', 'architectures', 'hidden_act', 'attention_bias', 'torch_dtype'];
    const values = ['-1', '0', '1.5', '3', '1152921504606846976', '1e308', '1e999', '"8"', '"constructor"', 'null', '[]', '{}', '[[1]]', 'true', '{"rope_type":"yarn","factor":1e300}', '{"type":"dynamic","factor":-1}', nested];
    const rng = createRng(8);
    const cases = fields.flatMap((field) => {
      const chosen = new Set(Array.from({ length: 4 }, () => values[rng.below(values.length)]!));
      return [...chosen].map((value) => [`${field} = ${value.slice(0, 40)}`, (i: number) => {
        const text = configText.includes(`"${field}"`) ? configText.replace(new RegExp(`("${field}": )(\\[[^\\]]*\\]|[^,\\n]+)`), (_all, key: string) => key + value) : configText.replace('{', `{"${field}": ${value},`);
        return writing('convert', checkpoint(`config-${i}`, { 'config.json': text }), join(folder, `config-${i}-out`));
      }] as const);
    });
    const found = await judge(cases);
    const sizes = ['hidden_size', 'num_attention_heads', 'vocab_size', 'num_hidden_layers', 'intermediate_size'];
    expect([...found].filter(([name, ending]) => ending === 'accepted' && sizes.some((field) => name.startsWith(`${field} = `)))).toEqual([]);
  });

  test('whole files that are wrong', async () => {
    const weights = readFileSync(join(SAPLING, 'model.safetensors'));
    const index = (map: unknown): string => JSON.stringify({ metadata: { total_size: 1 }, weight_map: map });
    const names = Object.keys(JSON.parse(weights.subarray(8, 8 + Number(weights.readBigUInt64LE(0))).toString()) as object).filter((name) => name !== '__metadata__');
    const shards = (value: unknown): string => index(Object.fromEntries(names.map((name) => [name, value])));
    const wrong: Readonly<Record<string, Readonly<Record<string, string | Uint8Array>>>> = {
      'empty config': { 'config.json': '{}' },
      'config of null': { 'config.json': 'null' },
      'config of a list': { 'config.json': '[]' },
      'config cut off': { 'config.json': configText.slice(0, 100) },
      'config nested': { 'config.json': nested },
      'config not UTF-8': { 'config.json': Uint8Array.of(0x7b, 0xff, 0xfe, 0x7d) },
      'config with a key twice': { 'config.json': configText.replace('{', '{"hidden_size": 8,') },
      'config with __proto__': { 'config.json': configText.replace('{', '{"__proto__": {"hidden_size": 1},') },
      'config of 80 MB': { 'config.json': `{"a":"${'x'.repeat(80e6)}"}` },
      'weights cut off': { 'model.safetensors': weights.subarray(0, weights.length - 1) },
      'weights cut in the header': { 'model.safetensors': weights.subarray(0, 1000) },
      'weights of another model': { 'config.json': configText.replace('"num_hidden_layers": 4', '"num_hidden_layers": 5') },
      ...Object.fromEntries(['../model.safetensors', '/etc/passwd', '..\\model.safetensors', 'a/../../b', '', '.', 'model.safetensors\0', 'config.json', 'C:/x', 5, null, ['model.safetensors'], 'x'.repeat(100_000)]
        .map((value) => [`weight_map to ${JSON.stringify(value).slice(0, 40)}`, { 'model.safetensors.index.json': shards(value), 'model.safetensors': '' }])),
      'weight_map of a list': { 'model.safetensors.index.json': index([]), 'model.safetensors': '' },
      'weight_map nested': { 'model.safetensors.index.json': `{"weight_map":${nested}}`, 'model.safetensors': '' },
      'weight_map twice': { 'model.safetensors.index.json': '{"weight_map":{"a":"x.safetensors","a":"y.safetensors"}}', 'model.safetensors': '' },
      'weight_map of a shard that is not there': { 'model.safetensors.index.json': shards('gone.safetensors'), 'model.safetensors': '' },
    };
    const found = await judge(Object.entries(wrong).map(([name, files]) => [name, (i: number) => writing(i % 2 ? 'quantize' : 'convert', checkpoint(`whole-${i}`, files), join(folder, `whole-${i}-out`))]));
    expect([...found].filter(([name, ending]) => ending === 'accepted' && !/__proto__|twice/.test(name))).toEqual([]);
    expect(readdirSync(folder).filter((name) => name === 'model.safetensors')).toEqual([]);
  });

  test('tokenizer.json that is wrong, given to generate', async () => {
    const model = join(folder, 'model');
    expect(await writing('convert', SAPLING, model)).toBe('accepted');
    const text = readFileSync(join(SAPLING, 'tokenizer.json'), 'utf8');
    const tokenizer = JSON.parse(text) as { model: Record<string, unknown> };
    const changed = (fields: object): string => JSON.stringify({ ...tokenizer, ...fields });
    const wrong: Readonly<Record<string, string>> = {
      empty: '', 'of null': 'null', 'of a list': '[]', 'of an empty object': '{}', 'cut off': text.slice(0, text.length / 2), nested,
      'without a model': changed({ model: null }), 'with a model of a list': changed({ model: [] }), 'with an unknown model': changed({ model: { type: 'constructor' } }),
      'with a vocabulary of null': changed({ model: { ...tokenizer.model, vocab: null } }),
      'with ids of 2^60': changed({ model: { ...tokenizer.model, vocab: { a: 2 ** 60, b: -1 } } }),
      'with merges of numbers': changed({ model: { ...tokenizer.model, merges: [1, 2] } }),
      'with a slow pattern': changed({ pre_tokenizer: { type: 'Split', pattern: { Regex: '(a+)+$' }, behavior: 'Isolated', invert: false } }),
      'with a broken pattern': changed({ pre_tokenizer: { type: 'Split', pattern: { Regex: '(' }, behavior: 'Isolated', invert: false } }),
      'with added tokens of null': changed({ added_tokens: [null] }), 'with a decoder of text': changed({ decoder: 'x' }),
    };
    await judge(Object.entries(wrong).map(([name, content]) => [`tokenizer ${name}`, async (i: number) => {
      const home = join(folder, `tokenizer-${i}`);
      mkdirSync(join(home, 'onnx'), { recursive: true });
      symlinkSync(join(model, 'onnx/model.onnx'), join(home, 'onnx/model.onnx'));
      copyFileSync(join(SAPLING, 'config.json'), join(home, 'config.json'));
      writeFileSync(join(home, 'tokenizer.json'), content);
      return verdict(await penjing(['generate', home, '-p', 'Once upon a time', '-n', '4', '--json'], CAPS));
    }]));
  });
});
