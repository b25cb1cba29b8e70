/** Tests of one rule from a table: the operators that come out, equal numbers, all of it again inside the branches of an If and as an output. */
import { expect, it } from 'vitest';
import type { GraphBuilder } from '../builder.js';
import type { ValueType } from '../graph/value-type.js';
import type { Value } from '../graph/value.js';
import type { DenseTensor } from '../tensor.js';
import type { Fusions } from './rule.js';
import { floats, rewriteBoth } from './testing.js';

/** Builds the pattern from the inputs, and says which operators must be left of it, in order. */
export type RuleCase = readonly [make: (b: GraphBuilder, ...inputs: Value[]) => Value, expected: readonly string[], options?: CaseOptions];

interface CaseOptions {
  readonly opset?: number;
  readonly fusions?: Fusions;
  /** For lists that a model this small does not save again. */
  readonly allowGrowth?: boolean;
  /** Types of the inputs in order. */
  readonly inputs?: readonly ValueType[];
  readonly feeds?: readonly DenseTensor[];
  /** Rules that must run too for the pattern to appear, or for what is left over to go. */
  readonly with?: readonly string[];
}

/** Inputs are (2, 3, 4) unless a case or `common` says otherwise. They come out of Abs, and what is made goes into Neg. */
export function testRule(rule: string, cases: Readonly<Record<string, RuleCase>>, common: CaseOptions = {}): void {
  for (const [name, [make, expected, own]] of Object.entries(cases)) {
    const { opset, fusions, allowGrowth, inputs = [floats(2, 3, 4)], feeds = [], with: more = [] } = { ...common, ...own };
    for (const asOutput of [false, true]) {
      it(asOutput ? `${name}, as an output` : name, async () => {
        const { ops, branch } = await rewriteBoth({
          ...(opset && { opset }), options: { only: [rule, 'dead', ...more], ...(fusions && { fusions }), ...(allowGrowth && { allowGrowth }) },
          feeds: Object.fromEntries(feeds.map((tensor, i) => [`x${i}`, tensor])),
          build(b, input) {
            const values = inputs.map((type, i) => b.op('Abs', [input(`x${i}`, type)]));
            const made = make(b, ...values);
            return asOutput ? made : b.op('Neg', [made]);
          },
        });
        const left = ops.filter((op) => op !== 'Abs');
        expect(left).toEqual(asOutput ? expected : [...expected, 'Neg']);
        expect(branch).toEqual(ops);
      });
    }
  }
}
