/** One exported program for each Core ATen operator: converted, run by the reference engine, compared with PyTorch; and the page that says so. */
import { referenceEngine } from '@penjing/core/reference';
import { atenOperators } from '@penjing/graph-io';
import { beforeAll, describe, expect, test } from 'vitest';
import { sweep, sweepFiles, sweepIndex, type SweepRow } from './support/pt2-sweep.js';

/** Why each operator that does not pass does not. */
const reasons: Readonly<Record<string, string>> = {
  '_fft_c2r.default': 'complex numbers have no type in the graphs that ONNX Runtime runs',
  '_fft_r2c.default': 'complex numbers have no type in the graphs that ONNX Runtime runs',
  'randperm.default': 'becomes RandomUniformLike and TopK, which the reference engine does not run; on ONNX Runtime it passes',
  'rand.default': 'becomes RandomUniformLike, which the reference engine does not run; on ONNX Runtime it passes',
  'randn.default': 'becomes RandomNormalLike, which the reference engine does not run; on ONNX Runtime it passes',
  'sym_numel.default': 'torch.export writes arithmetic on sizes in its place',
  'sym_stride.int': 'torch.export writes arithmetic on sizes in its place',
  'sym_storage_offset.default': 'torch.export writes a number in its place',
};
const GRADIENT = 'a gradient: inference never calls it';

/** Of the 189 that torch 2.15 tags as core. */
const RECORDED = 180;

const files = sweepFiles();
const index = sweepIndex(files);
let rows: SweepRow[];

beforeAll(async () => {
  rows = await sweep(referenceEngine(), files);
}, 60_000);

const whyNot = (operator: string): string | undefined => (operator.includes('_backward') ? GRADIENT : reasons[operator]);

describe('Core ATen', () => {
  test('at least the recorded number of operators converts with the values of PyTorch', () => {
    const passing = rows.filter(({ operator, cases, passed }) => index.core.includes(operator) && passed === cases);
    expect(passing.length).toBeGreaterThanOrEqual(RECORDED);
    expect(passing.length / index.core.length).toBeGreaterThan(0.95);
  });

  test('each of the others has a reason', () => {
    const failing = rows.filter(({ cases, passed }) => passed < cases).map(({ operator }) => operator);
    const missing = index.core.filter((operator) => !rows.some((row) => row.operator === operator));
    expect([...failing, ...missing].filter((operator) => whyNot(operator) === undefined)).toEqual([]);
  });

  test('docs/aten-operators.md says so', async () => {
    await expect(page()).toMatchFileSnapshot('../docs/aten-operators.md');
  });
});

function page(): string {
  const passed = new Map(rows.map((row) => [row.operator, row]));
  const core = index.core.map((operator) => {
    const row = passed.get(operator);
    const ok = row !== undefined && row.passed === row.cases;
    return `| \`${operator}\` | ${ok ? `${row.cases} of ${row.cases} programs` : (whyNot(operator) ?? row?.failure ?? 'not written')} |`;
  });
  const count = rows.filter((row) => index.core.includes(row.operator) && row.passed === row.cases).length;
  const families = Object.entries(atenOperators()).map(([family, names]) => `| ${family} | ${names.map((name) => `\`${name}\``).join(' ')} |`);
  const programs = rows.reduce((sum, row) => sum + row.cases, 0);
  return `# ATen operators

What \`penjing convert\` makes ONNX of in programs that torch.export wrote (\`.pt2\`), in traced TorchScript, and in modules. This page is
written by \`npx vitest run tests/pt2-sweep.test.ts -u\` from the table in \`packages/graph-io/src/torch/aten\` and from the run of
${programs} single-operator programs that \`peers/fixtures/pt2_sweep.py\` recorded with PyTorch ${index.torch}.

An operator that writes into its first argument (\`add_\`) converts where the one without the underscore does.

## Operators with an ONNX form

| family | operators |
|---|---|
${families.join('\n')}

## The Core ATen set

${count} of ${index.core.length} operators give PyTorch's values within 1e-4 on every recorded program.

| operator | |
|---|---|
${core.join('\n')}
`;
}
