/** Shape inference against what onnx.shape_inference says of the ONNX backend tests (tests/fixtures/infer, peers/ops). */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { cloneModel, formatType, inferShapes } from '@penjing/core';
import { backendCases, missing } from './support/onnx-backend.js';

type Expected = Record<string, Record<string, string>>;
const expected = JSON.parse(readFileSync(new URL('fixtures/infer/onnx-backend.json', import.meta.url), 'utf8')) as Expected;

/** Outputs where we say less than onnx.shape_inference, each with the reason. */
const weaker: readonly { readonly tests: RegExp; readonly reason: string }[] = [
  { tests: /^test_(adagrad|adam|momentum|nesterov|flexattention|ai_onnx_ml)/, reason: 'preview, training and ai.onnx.ml domains have no shape rules' },
  { tests: /^test_loop13_seq$/, reason: 'an empty sequence has no element shape, so the carried sequence has none either' },
  { tests: /^test_scan_sum$/, reason: 'Scan of opset 8 has another signature' },
];

/** True when `ours` says at least as much as `theirs` and nothing else. */
function covers(ours: string, theirs: string): boolean {
  if (ours === theirs || theirs === '?') return true;
  const split = (text: string): string[] => text.split(/([[\],<>])/);
  const [a, b] = [split(ours), split(theirs)];
  if (!theirs.includes('[')) return ours.replaceAll(/\[[^\]]*\]/g, '') === theirs;
  return a.length === b.length && a.every((part, i) => part === b[i] || b[i] === '?' || (/^[a-z_]/i.test(b[i]!) && part !== '?' && i > 1));
}

describe.each(['node', 'simple', 'pytorch-converted', 'pytorch-operator'])('shape inference on ONNX backend group %s', (group) => {
  const reason = missing(group);
  it.skipIf(reason)('knows what onnx.shape_inference knows', async () => {
    const failures: string[] = [];
    let compared = 0;
    for (const test of backendCases(group)) {
      const known = expected[`${group}/${test.name}`];
      if (!known) continue;
      const model = cloneModel(await test.model());
      for (const output of model.graph.outputs) if (!model.graph.inputs.includes(output)) output.type = undefined;
      inferShapes(model);
      for (const output of model.graph.outputs) {
        const theirs = known[output.name];
        if (theirs === undefined) continue;
        compared++;
        const ours = formatType(output.type);
        if (!covers(ours, theirs) && !weaker.some(({ tests }) => tests.test(test.name))) failures.push(`${test.name}: ${output.name} is ${ours}, not ${theirs}`);
      }
    }
    expect(failures).toEqual([]);
    expect(compared).toBeGreaterThan(5);
  });

  it.skipIf(reason)('agrees with the declared types of all outputs', async () => {
    const contradictions: string[] = [];
    for (const test of backendCases(group)) {
      const model = await test.model();
      contradictions.push(...inferShapes(model).gaps.filter((gap) => gap.includes('declared')).map((gap) => `${test.name}: ${gap}`));
    }
    expect(contradictions).toEqual([]);
  });
});
