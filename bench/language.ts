/**
 * Held-out perplexity of a language model after each method of compression, each row by the command line.
 * `npx tsx --conditions=@penjing/source bench/language.ts --model models/pine --texts texts --heldout models/pine/heldout.txt --out bench/results/language-pine.json`
 * Rows that the result already holds are not measured again: delete a row to repeat it.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { cpus, loadavg, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import type { RecipeResult } from '@penjing/recipe';
import { languageRows } from './language-rows.js';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'models/sapling' },
    /** Folder of train-0.txt, train-1.txt, … as `peers/sapling/write_texts.py` writes them: one per calibration seed. */
    texts: { type: 'string', default: 'texts' },
    heldout: { type: 'string', default: 'models/sapling/heldout.txt' },
    /** Tokens of the held-out text; all when absent. */
    tokens: { type: 'string' },
    samples: { type: 'string', default: '128' },
    seeds: { type: 'string', default: '1' },
    /** Pattern of the names of rows. */
    rows: { type: 'string', default: '' },
    /** Of each command: 1 where other work keeps the cores busy, because waiting threads spin. */
    threads: { type: 'string' },
    out: { type: 'string', default: 'bench/results/language.json' },
  },
});

/** What `eval --json` says of language models. */
interface Evaluation {
  readonly model: { readonly bytes: number };
  readonly reference: { readonly bytes: number };
  readonly perplexity: number;
  readonly klDivergence: number;
  readonly topTokenAgreement: number;
}

interface Measured {
  readonly row: string;
  readonly seed: number;
  readonly perplexity: number;
  readonly klDivergence: number;
  readonly topTokenAgreement: number;
  /** Of the weights on disk, as a share of float32. */
  readonly size: number;
  readonly seconds: number;
  /** Σ of the objectives of the records, in the metric of the method. */
  readonly objective: number | null;
  readonly load: number;
}

const folder = await mkdtemp(join(tmpdir(), 'penjing-language-'));
interface Results {
  readonly machine: string;
  readonly model: string;
  readonly rows: Measured[];
}

const results: Results = existsSync(values.out)
  ? (JSON.parse(await readFile(values.out, 'utf8')) as Results)
  : { machine: `${cpus()[0]!.model}, ${cpus().length} cores`, model: values.model, rows: [] };
await mkdir(dirname(values.out), { recursive: true });

try {
  const reference = join(folder, 'fp32');
  await penjing<RecipeResult>(['convert', values.model, '-o', reference, '--attention', 'standard']);
  for (const { name, steps, calibrated } of languageRows) {
    if (name.search(values.rows) === -1) continue;
    for (let seed = 0; seed < (calibrated ? Number(values.seeds) : 1); seed++) {
      if (results.rows.some((row) => row.row === name && row.seed === seed)) continue;
      const output = join(folder, 'out');
      const data = calibrated ? ['--data', join(values.texts, `train-${seed}.txt`), '--samples', values.samples] : [];
      const started = performance.now();
      const run = await penjing<Pick<RecipeResult, 'records'>>([steps[0]!, values.model, '-o', output, ...steps.slice(1), ...data]).catch((error: unknown) => error as Error);
      const seconds = (performance.now() - started) / 1000;
      if (run instanceof Error) {
        console.log(`${name}: ${run.message.split('\n').at(-1)}`);
        break;
      }
      const limit = values.tokens === undefined ? [] : ['--max-tokens', values.tokens];
      const { model, reference: original, perplexity, klDivergence, topTokenAgreement } = await penjing<Evaluation>(['eval', output, '--reference', reference, '--data', values.heldout, ...limit]);
      const objectives = run.records.map(({ objective }) => objective ?? 0);
      const measured: Measured = {
        row: name, seed, perplexity, klDivergence, topTokenAgreement, size: model.bytes / original.bytes, seconds,
        objective: objectives.reduce((sum, objective) => sum + objective, 0), load: loadavg()[0]!,
      };
      results.rows.push(measured);
      await writeFile(values.out, `${JSON.stringify(results, null, 1)}\n`);
      console.log(`${name} [${seed}]: perplexity ${perplexity.toFixed(2)}, KL ${klDivergence.toFixed(4)}, ${(100 * topTokenAgreement).toFixed(1)} % top, size ${(100 * measured.size).toFixed(1)} %, ${seconds.toFixed(1)} s`);
      await rm(output, { recursive: true });
    }
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}

async function penjing<Output>(args: readonly string[]): Promise<Output> {
  const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', '--conditions=@penjing/source', 'apps/cli/src/main.ts', ...args, ...(values.threads === undefined ? [] : ['--threads', values.threads]), '--json', '--quiet'], { maxBuffer: 2 ** 28 });
  return JSON.parse(stdout) as Output;
}
