import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runCaptured as penjing } from './testing/run-captured.js';
import { verbs } from './verbs.js';

let folder = '';
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'penjing-cli-'))));
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('the command line contract', () => {
  test('the verbs of --help are the verbs of this release, in order', async () => {
    const { code, stdout } = await penjing('--help');
    const listed = [...stdout.matchAll(/^ {2}([a-z]+)(?= )/gm)].map((match) => match[1]).filter((name) => name !== 'help');
    expect(code).toBe(0);
    expect(listed).toEqual(['inspect', 'convert', 'simplify', 'prune', 'lowrank', 'cluster', 'quantize', 'distill', 'finetune', 'squeeze', 'eval', 'compare', 'bench', 'plan', 'split', 'run', 'generate', 'chat', 'batch', 'worker', 'serve', 'deploy', 'client', 'apply', 'doctor']);
    expect(listed).toEqual(verbs.map(({ name }) => name));
  });

  test('docs/cli.md is what --help says', async () => {
    const pages = await Promise.all([[], ...verbs.map(({ name }) => [name])].map((words) => penjing(...words, '--help')));
    const titles = ['penjing', ...verbs.map(({ name }) => `penjing ${name}`)];
    const sections = pages.map(({ stdout }, i) => `## ${titles[i]}\n\n\`\`\`text\n${stdout.trimEnd()}\n\`\`\`\n`);
    const text = `# The command line\n\nWritten from \`--help\` by a test; \`npx vitest run apps/cli -u\` renews it.\n\n${sections.join('\n')}`;
    await expect(text).toMatchFileSnapshot('../../../docs/cli.md');
  });

  test.each([
    [['prune', 'x', '-o', 'y', '--structure', 'ffn', '--ratio', '0.25', '--sparsity', '0.5'], '--sparsity means nothing with --structure'],
    [['prune', 'x', '-o', 'y', '--sparsity', '0.5', '--ratio', '0.25'], '--ratio means nothing without --structure'],
    [['prune', 'x', '-o', 'y', '--structure', 'ffn'], 'what share goes is not said'],
    [['quantize', 'x', '-o', 'y', '--dynamic', '--block-size', '32'], '--block-size means nothing for --dynamic'],
    [['chat', 'x', '--server', 'http://127.0.0.1:1', '--prefix-cache', '0'], '--prefix-cache means nothing with --server'],
    [['chat', 'x', '--server', 'http://127.0.0.1:1', '--device', 'cpu'], '--device means nothing with --server'],
    [['chat', 'x', '--api-key', 'k'], '--api-key means nothing without --server'],
    [['client', 'x', '-o', 'y.ts', '--api-key', 'k'], '--api-key means nothing with the files of a model'],
    [['client', 'http://127.0.0.1:1/v2/models/a', '-o', 'y.ts', '--variant', 'q4'], '--variant means nothing with the address of a model'],
    [['quantize', 'x', '-o', 'y', '--static', '--dtype', 'float16'], '--static and --dtype do not go together'],
  ])('%j is refused: an option that would be ignored', async (argv, message) => {
    const { code, stderr } = await penjing(...argv);
    expect(code).toBe(1);
    expect(stderr).toContain(message);
  });

  test.each([
    [['frobnicate']],
    [['convert']],
    [['convert', 'x']],
    [['quantize', 'x', '-o', 'y', '--bits', '5']],
    [['quantize', 'x', '-o', 'y', '--block-size', 'many']],
    [['bench', 'x', '--runs', '0']],
    [['inspect', 'x', '--no-such-option']],
    [['inspect', 'x', 'too', 'many']],
    [[]],
  ])('wrong usage %j exits 2', async (argv) => {
    const { code, stdout, stderr } = await penjing(...argv);
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).not.toBe('');
    const json = await penjing(...argv, '--json');
    if (argv.length > 0) expect(JSON.parse(json.stdout)).toMatchObject({ error: { code: 'E_USAGE' } });
    expect(json.code).toBe(2);
  });

  test('a typed failure exits 1, with one JSON object on stdout under --json', async () => {
    const plain = await penjing('inspect', join(folder, 'nothing-here'));
    expect(plain).toMatchObject({ code: 1, stdout: '' });
    expect(plain.stderr).toMatch(/^E_NOT_FOUND: .*nothing-here/);
    const json = await penjing('inspect', join(folder, 'nothing-here'), '--json');
    expect(json.code).toBe(1);
    expect(json.stderr).toBe('');
    expect(JSON.parse(json.stdout)).toMatchObject({ error: { code: 'E_NOT_FOUND', hint: expect.any(String) as string } });
  });

  test.each([
    ['text', 'just words', 'E_FORMAT'],
    ['a GGUF header cut off', 'GGUF\x03\0\0\0', 'E_TRUNCATED'],
    ['truncated onnx', '\x08\x0a\x12\x7fx', 'E_'],
    ['empty', '', 'E_FORMAT'],
  ])('a file that is %s is refused by content', async (name, content, code) => {
    const path = join(folder, `${name.replace(' ', '-')}.onnx`);
    await writeFile(path, content, 'latin1');
    const { stderr, code: exit } = await penjing('inspect', path);
    expect(exit).toBe(1);
    expect(stderr).toContain(code);
    expect(stderr).not.toContain('E_INTERNAL');
  });

  test('a recipe with a mistake names the field', async () => {
    const path = join(folder, 'wrong.yaml');
    await writeFile(path, 'input: a\noutput: b\nsteps:\n  - quantize: { bits: 5 }\n');
    const { code, stderr } = await penjing('apply', path);
    expect(code).toBe(1);
    expect(stderr).toMatch(/E_RECIPE: .*steps\.0\.quantize\.bits must be one of 2, 3, 4, 8, not 5/);
  });
});
