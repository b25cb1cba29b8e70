/** The recorded single-operator programs of torch.export on ONNX Runtime itself, all in one run. */
import { expect, test } from 'vitest';
import { testEngine } from './support/ort-session.js';
import { sweep, sweepFiles, sweepIndex } from './support/pt2-sweep.js';

/** Of the 189 that torch 2.15 tags as core; the others are complex numbers and what torch.export never writes. */
const RECORDED = 183;

test('as many Core ATen operators as recorded give the values of PyTorch', async () => {
  const files = sweepFiles();
  const { core } = sweepIndex(files);
  const rows = await sweep(testEngine(), files);
  const programs = rows.reduce((sum, { cases }) => sum + cases, 0);
  const passed = rows.reduce((sum, { passed }) => sum + passed, 0);
  const failing = rows.filter(({ cases, passed }) => passed < cases).map(({ operator, failure }) => `${operator}: ${failure ?? ''}`);
  const whole = rows.filter((row) => core.includes(row.operator) && row.passed === row.cases).length;
  process.stderr.write(`${whole} of ${core.length} operators, ${passed} of ${programs} programs; not: ${failing.join('; ') || 'none'}\n`);
  expect(whole).toBeGreaterThanOrEqual(RECORDED);
});
