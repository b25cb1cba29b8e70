/** The promises of the command line with awkward arguments: exit codes, one JSON object, silence, and what is left on disk. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { denseOf, GraphBuilder, Model, tensorType } from '@penjing/core';
import { serializeOnnx } from '@penjing/graph-io';
import { saveFile } from '@penjing/graph-io/node';
import { runCaptured as run } from '../apps/cli/src/testing/run-captured.js';
import { penjing } from './support/penjing-process.js';

const SAPLING = fileURLToPath(new URL('../models/sapling', import.meta.url));

let folder: string;
/** A path in the test's own folder. */
const at = (...parts: string[]): string => join(folder, ...parts);

/** The error that --json prints, beside the exit code; --quiet keeps progress away, so stderr is empty. */
async function failure(...argv: string[]): Promise<{ readonly code: number; readonly error: { readonly code: string; readonly message: string; readonly hint?: string } }> {
  const { code, stdout, stderr } = await run(...argv, '--json', '--quiet');
  expect(stderr).toBe('');
  expect(stdout.trim().split('\n')).toHaveLength(1);
  return { code, ...(JSON.parse(stdout) as { error: { code: string; message: string } }) };
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'penjing contract 盆景 '));
  mkdirSync(at('empty'));
  mkdirSync(at('config only'));
  writeFileSync(at('config only/config.json'), '{}');
  writeFileSync(at('plain.txt'), 'words');
  execFileSync('mkfifo', [at('pipe')]);
  const files: Readonly<Record<string, string>> = {
    'twice.yaml': 'steps: []\nsteps: []\n',
    'unknown.yaml': 'steps:\n  - quantise: { bits: 4 }\n',
    'empty.yaml': '',
    'pattern.yaml': `input: ${SAPLING}\noutput: out\nsteps:\n  - quantize: { exclude: ["/(/"] }\n`,
    'bomb.yaml': `a: &a [1,1,1,1,1,1,1,1,1]\nb: &b [${Array(9).fill('*a').join()}]\nc: &c [${Array(9).fill('*b').join()}]\nd: [${Array(9).fill('*c').join()}]\nsteps: []\n`,
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(at(name), text);
  // y = x · w
  const model = new Model();
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  const x = b.input('x', tensorType('float32', ['n', 64]));
  const w = b.initializer('w', denseOf('float32', [64, 64], Array.from({ length: 4096 }, (_, i) => Math.sin(i))));
  b.output(b.op('MatMul', [x, w]), 'y', tensorType('float32', ['n', 64]));
  await saveFile(at('tiny.onnx'), serializeOnnx(model, { name: 'tiny.onnx' }));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('a wrong path', () => {
  test.each<[what: string, argv: () => string[], code: string]>([
    ['an empty input', () => ['inspect', ''], 'E_NOT_FOUND'],
    ['an empty folder', () => ['convert', at('empty'), '-o', at('o')], 'E_FORMAT'],
    ['a folder with a configuration only', () => ['convert', at('config only'), '-o', at('o')], 'E_FORMAT'],
    ['weights alone', () => ['convert', join(SAPLING, 'model.safetensors'), '-o', at('o')], 'E_FORMAT'],
    ['a text', () => ['quantize', at('plain.txt'), '-o', at('o.onnx')], 'E_FORMAT'],
    ['a pipe', () => ['inspect', at('pipe')], 'E_FORMAT'],
    ['a folder below a file', () => ['convert', SAPLING, '-o', at('plain.txt/deep')], 'E_EXISTS'],
    ['a file as the folder', () => ['convert', SAPLING, '-o', at('plain.txt')], 'E_EXISTS'],
    ['a file made a folder', () => ['convert', at('tiny.onnx'), '-o', at('folder')], 'E_OPTION'],
    ['a recipe that is not there', () => ['apply', at('nothing.yaml')], 'E_NOT_FOUND'],
    ['a checkpoint to run', () => ['run', SAPLING], 'E_FORMAT'],
    ['a checkpoint to generate with', () => ['generate', SAPLING], 'E_NOT_FOUND'],
    ['a graph that is no language model', () => ['generate', at('tiny.onnx')], 'E_NOT_FOUND'],
    ['data that is not there', () => ['compare', at('tiny.onnx'), at('tiny.onnx'), '--data', at('nothing.txt')], 'E_NOT_FOUND'],
  ])('%s is refused by name', async (_what, argv, code) => {
    const { code: exit, error } = await failure(...argv());
    expect({ exit, code: error.code }).toEqual({ exit: 1, code });
    expect(readdirSync(folder).filter((name) => name.startsWith('o') || name.endsWith('.penjing'))).toEqual([]);
  });

  test('an empty output is wrong usage, not the current folder', async () => {
    for (const argv of [['convert', SAPLING, '-o', ''], ['run', at('tiny.onnx'), '--output', ' ']]) {
      expect(await failure(...argv)).toMatchObject({ code: 2, error: { code: 'E_USAGE' } });
    }
  });
});

describe('a recipe with a mistake', () => {
  test.each([['twice', 'E_RECIPE'], ['unknown', 'E_RECIPE'], ['empty', 'E_RECIPE'], ['bomb', 'E_RECIPE'], ['pattern', 'E_OPTION']])('%s', async (name, code) => {
    expect(await failure('apply', at(`${name}.yaml`))).toMatchObject({ code: 1, error: { code } });
  });
});

describe('run', () => {
  test.each<[what: string, argv: string[], code: string]>([
    ['an unknown input', ['-i', 'z=[1]'], 'E_INPUT'],
    ['a wrong shape', ['-i', 'x=[1,2]'], 'E_INPUT'],
    ['no JSON', ['-i', 'x=NaN'], 'E_INPUT'],
    ['no file', ['-i', 'x=@nothing.npy'], 'E_NOT_FOUND'],
    ['no assignment', ['-i', 'x'], 'E_OPTION'],
    ['a shape of words', ['--shape', 'x=a,b'], 'E_OPTION'],
    ['a shape of terabytes', ['--shape', 'x=1e12,64'], 'E_OPTION'],
    ['a negative shape', ['--shape', 'x=-1,64'], 'E_OPTION'],
  ])('%s is refused by name', async (_what, argv, code) => {
    expect(await failure('run', at('tiny.onnx'), ...argv)).toMatchObject({ code: 1, error: { code } });
  });

  test('writes outputs and does not replace them', async () => {
    const argv = ['run', at('tiny.onnx'), '--shape', 'x=2,64', '-o', at('run out')];
    expect(await run(...argv, '--json')).toMatchObject({ code: 0, stderr: '' });
    expect(readdirSync(at('run out'))).toEqual(['y.npy']);
    expect(await failure(...argv)).toMatchObject({ code: 1, error: { code: 'E_EXISTS' } });
    expect(await run('run', at('tiny.onnx'), '-i', `x=@${at('run out/y.npy')}`)).toMatchObject({ code: 0 });
  });
});

describe('an ONNX file', () => {
  test('is rewritten in place only with --force, and quantized once', async () => {
    const path = at('in place.onnx');
    expect(await run('convert', at('tiny.onnx'), '-o', path, '--quiet')).toMatchObject({ code: 0, stderr: '' });
    expect(await failure('quantize', path, '-o', path)).toMatchObject({ code: 1, error: { code: 'E_EXISTS' } });
    expect(await run('quantize', path, '-o', path, '--force')).toMatchObject({ code: 0 });
    expect(await failure('quantize', path, '-o', path, '--force')).toMatchObject({ code: 1, error: { code: 'E_NOTHING_TO_DO' } });
    expect(await run('compare', at('tiny.onnx'), path, '--json')).toMatchObject({ code: 0 });
    expect(existsSync(`${path}.penjing`)).toBe(false);
  });

  test('whose operator has an undeclared domain is carried, as ONNX Runtime carries it', async () => {
    const model = new Model();
    model.opsetImports.set('', 21);
    const b = new GraphBuilder(model.graph);
    const x = b.input('x', tensorType('float32', ['n']));
    b.output(b.op('Gelu', [x], {}, { domain: 'com.microsoft' }), 'y', tensorType('float32', ['n']));
    await saveFile(at('undeclared.onnx'), serializeOnnx(model, { name: 'undeclared.onnx' }));
    expect(await run('convert', at('undeclared.onnx'), '-o', at('undeclared out.onnx'), '--no-check')).toMatchObject({ code: 0 });
  });
});

describe('a process of its own', () => {
  test('converts a checkpoint made of links into a folder with a difficult name, and it generates', async () => {
    mkdirSync(at('hub/blobs'), { recursive: true });
    mkdirSync(at('hub/snapshots/abc'), { recursive: true });
    for (const name of ['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json']) {
      writeFileSync(at('hub/blobs', `${name}.b`), readFileSync(join(SAPLING, name)));
      symlinkSync(join('../../blobs', `${name}.b`), at('hub/snapshots/abc', name));
    }
    const output = at('出 力', 'a b');
    const { code, stdout, stderr } = await penjing(['convert', 'snapshots/abc/', '-o', `${output}/`, '--json', '--quiet'], { cwd: at('hub') });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(JSON.parse(stdout)).toMatchObject({ check: { done: true } });
    expect(readdirSync(at('出 力'))).toEqual(['a b']);

    expect(await failure('generate', output, '-p', 'Once', '-n', '99999')).toMatchObject({ code: 1, error: { code: 'E_CONTEXT' } });
    const empty = await run('generate', output, '-p', '', '-n', '3', '--quiet');
    expect(empty).toMatchObject({ code: 0, stderr: '' });
    expect(empty.stdout.length).toBeGreaterThan(3);
    expect(await failure('compare', output, at('tiny.onnx'))).toMatchObject({ code: 1, error: { code: 'E_INPUT' } });
  });
});
