/** Runs `ort-compare.mjs` over jobs and survives its crashes: the job in hand is loaded only, and the rest goes on. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface OrtJob {
  readonly id: string;
  /** Paths; the first is the original. */
  readonly variants: readonly string[];
  readonly fixtures?: readonly unknown[];
  readonly loadOnly?: boolean;
  /** Floats may differ by this share of the largest magnitude of their output. */
  readonly tolerance?: number;
}

export interface OrtAnswer {
  readonly id: string;
  readonly verdict:
    | 'identical' | 'different' | 'original-refused' | 'rewritten-refused' | 'not-fed' | 'not-run' | 'not-deterministic'
    | 'crash' | 'error'
    /** Within the tolerance only while ONNX Runtime's own graph optimizations are off. */
    | 'equal-as-written';
  readonly detail?: string;
  readonly fixtures?: boolean;
}

const script = fileURLToPath(new URL('./ort-compare.mjs', import.meta.url));

export async function runJobs(jobs: readonly OrtJob[], folder: string, label: string): Promise<OrtAnswer[]> {
  const list = join(folder, `jobs-${label}.jsonl`);
  writeFileSync(list, jobs.map((job) => JSON.stringify(job)).join('\n'));
  const answers: OrtAnswer[] = [];
  while (answers.length < jobs.length) {
    const before = answers.length;
    const ended = await runOnce(list, before, answers);
    const crashed = jobs[answers.length];
    if (!crashed) break;
    const [loaded] = crashed.loadOnly ? [] : await runJobs([{ ...crashed, loadOnly: true }], folder, `${label}-load`);
    answers.push(loaded ?? { id: crashed.id, verdict: 'crash', detail: ended });
  }
  return answers;
}

async function runOnce(list: string, from: number, answers: OrtAnswer[]): Promise<string> {
  const child = spawn(process.execPath, [script, list, String(from)], { stdio: ['ignore', 'pipe', 'ignore'] });
  const closed = new Promise<string>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve(`exit ${code ?? signal ?? '?'}`));
  });
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.startsWith('{')) answers.push(JSON.parse(line) as OrtAnswer);
  }
  return closed;
}
