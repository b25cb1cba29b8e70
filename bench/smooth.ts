/**
 * int8 of transformers with and without SmoothQuant, against float32 on held-out text:
 * `npx tsx --conditions=@penjing/source bench/smooth.ts MODEL CALIBRATION.txt HELDOUT.txt [ALPHA…]`
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { compareInputs, RecipeResult } from '@penjing/recipe';

const [input, texts, heldout, ...alphas] = process.argv.slice(2);
if (input === undefined || texts === undefined || heldout === undefined) throw new Error('bench/smooth.ts MODEL CALIBRATION.txt HELDOUT.txt [ALPHA…]');

const SAMPLES = '32';
/** Windows, or tokens of language models. */
const JUDGED = ['--samples', '64', '--max-tokens', '8192'];

async function penjing<Output>(args: readonly string[]): Promise<Output> {
  const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', '--conditions=@penjing/source', 'apps/cli/src/main.ts', ...args, '--json', '--quiet'], { maxBuffer: 2 ** 28 });
  return JSON.parse(stdout) as Output;
}

const data = ['--data', texts, '--samples', SAMPLES];
const rows: [string, string[]][] = [['--dynamic', ['--dynamic']], ['--static', ['--static', ...data]]].flatMap(([name, flags]): [string, string[]][] => [
  [name as string, flags as string[]],
  ...(alphas.length > 0 ? alphas : ['0.5']).flatMap((alpha) => [[], ['--smooth-multiply']].map((more): [string, string[]] => [
    [name, '--smooth', alpha, ...more].join(' '), [...(flags as string[]).filter((flag) => !data.includes(flag)), '--smooth', alpha, ...more, ...data],
  ])),
]);

const folder = await mkdtemp(join(tmpdir(), 'penjing-smooth-'));
try {
  const reference = join(folder, 'float32');
  await penjing(['convert', input, '-o', reference]);
  console.log('| | layers smoothed | ½E‖Δy‖² of those, before → after | SNR dB | KL | same first token | perplexity |\n|---|---|---|---|---|---|---|');
  for (const [name, flags] of rows) {
    const output = join(folder, 'int8');
    const { records } = await penjing<Pick<RecipeResult, 'records'>>(['quantize', input, '-o', output, ...flags]);
    const smoothed = records.filter(({ method }) => method.startsWith('smooth'));
    const before = smoothed.reduce((sum, { note = '' }) => sum + Number(/½E‖Δy‖² (\S+) →/.exec(note)?.[1] ?? 0), 0);
    const after = smoothed.reduce((sum, { objective = 0 }) => sum + objective, 0);
    const result = await penjing<Awaited<ReturnType<typeof compareInputs>>>(['compare', reference, output, '--data', heldout, ...JUDGED]);
    const shown = (value: number | undefined, digits: number): string => value?.toFixed(digits) ?? '';
    const gain = smoothed.length > 0 ? `${before.toPrecision(3)} → ${after.toPrecision(3)}` : '';
    const agreement = result.topTokenAgreement === undefined ? '' : `${(100 * result.topTokenAgreement).toFixed(1)} %`;
    console.log(`| ${name} | ${smoothed.length} | ${gain} | ${shown(result.snrDb, 1)} | ${shown(result.klDivergence, 4)} | ${agreement} | ${shown(result.b.perplexity, 3)} (float32 ${shown(result.a.perplexity, 3)}) |`);
    await rm(output, { recursive: true });
  }
  console.log(`load ${loadavg()[0]!.toFixed(0)}`);
} finally {
  await rm(folder, { recursive: true, force: true });
}
