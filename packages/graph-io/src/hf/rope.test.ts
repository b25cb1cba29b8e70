import { describe, expect, test } from 'vitest';
import { Fields } from './fields.js';
import type { JsonObject } from './folder.js';
import { readRope, type Rope, ropeTypes } from './rope.js';

function rope(config: JsonObject): Rope {
  return readRope(new Fields(config, 'config.json'), { dim: 8, maxPositions: 128 });
}

const plain = [1, 0.1, 0.01, 0.001].map(Math.fround);

/** What transformers 5.23 computes for heads 8 wide, 128 positions, theta 10,000 where nothing else is said. */
const recorded: readonly { readonly settings: JsonObject; readonly frequencies: readonly number[]; readonly attention: number }[] = [
  {
    settings: { rope_type: 'default' },
    frequencies: [1.0, 0.100000001, 0.00999999978, 0.00100000005],
    attention: 1.0,
  },
  {
    settings: { rope_type: 'linear', factor: 2.5 },
    frequencies: [0.400000006, 0.0399999991, 0.00399999972, 0.000400000019],
    attention: 1.0,
  },
  {
    settings: { rope_type: 'dynamic', factor: 2 },
    frequencies: [1.0, 0.100000001, 0.00999999978, 0.00100000005],
    attention: 1.0,
  },
  {
    settings: { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 32 },
    frequencies: [1.0, 0.0250000004, 0.00249999994, 0.000250000012],
    attention: 1.138629436111989,
  },
  {
    settings: { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 32, beta_fast: 4, beta_slow: 0.5, truncate: false, mscale: 0.9, mscale_all_dim: 0.4 },
    frequencies: [1.0, 0.0256643984, 0.00249999994, 0.000250000012],
    attention: 1.0656730319037613,
  },
  {
    settings: { rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 64, rope_theta: 500 },
    frequencies: [1.0, 0.0976166278, 0.00559017016, 0.00118217699],
    attention: 1.0,
  },
  {
    settings: { rope_type: 'longrope', short_factor: [1, 1.1, 1.2, 1.3], long_factor: [1, 2, 3, 4], original_max_position_embeddings: 32 },
    frequencies: [1.0, 0.0909090936, 0.00833333284, 0.00076923077],
    attention: 1.1832159566199232,
  },
];

describe('frequencies', () => {
  test.each(recorded)('$settings', ({ settings, frequencies, attention }) => {
    const { inverseFrequencies, attentionFactor } = rope({ rope_parameters: settings });
    inverseFrequencies.forEach((value, i) => expect(value / frequencies[i]!).toBeCloseTo(1, 6));
    expect(attentionFactor).toBeCloseTo(attention, 12);
  });

  test('every scaling is recorded', () => {
    expect(new Set(recorded.map(({ settings }) => settings['rope_type']))).toEqual(new Set(ropeTypes));
  });
});

describe('spellings', () => {
  const linear = rope({ rope_parameters: { rope_type: 'linear', factor: 2, rope_theta: 500 } });

  test.each<[string, JsonObject]>([
    ['transformers 4', { rope_theta: 500, rope_scaling: { rope_type: 'linear', factor: 2 } }],
    ['the first ones', { rope_theta: 500, rope_scaling: { type: 'linear', factor: 2 } }],
    ['both places', { rope_theta: 7, rope_scaling: { type: 'linear', factor: 2, rope_theta: 500 } }],
  ])('%s', (_, config) => expect(rope(config)).toEqual(linear));

  test.each<[string, JsonObject]>([
    ['nothing said', {}],
    ['null', { rope_scaling: null, rope_theta: 10_000 }],
    ['default', { rope_parameters: { rope_type: 'default' } }],
  ])('%s is plain', (_, config) => expect(rope(config)).toEqual({ inverseFrequencies: plain, attentionFactor: 1 }));
});

test('what depends on the length of a run is data for the graph', () => {
  expect(rope({ rope_scaling: { rope_type: 'dynamic', factor: 4 } }).far).toMatchObject({ kind: 'stretch', from: 128, factor: 4 });
  const lists = { long_factor: [2, 2, 2, 2], short_factor: [1, 1, 1, 1] };
  const long = rope({ original_max_position_embeddings: 32, rope_scaling: { rope_type: 'longrope', ...lists } });
  expect(long.far).toEqual({ kind: 'switch', from: 32, inverseFrequencies: plain.map((value) => value / 2) });
});

test.each<[JsonObject, RegExp]>([
  [{ rope_type: 'longrope', short_factor: [1], long_factor: [1, 1, 1, 1] }, /short_factor is \[1\], it must be a list of 4 numbers/],
  [{ rope_type: 'llama3', factor: 8, low_freq_factor: 4, high_freq_factor: 4 }, /high_freq_factor is 4, it must be above low_freq_factor/],
  [{ rope_type: 'default', rope_theta: 1e-300 }, /not finite/],
  [{ rope_type: 'linear', factor: 0 }, /factor is 0, it must be a number above 0/],
])('%o is refused', (settings, message) => {
  expect(() => rope({ rope_parameters: settings })).toThrow(message);
});

describe('what an architecture may say of its own', () => {
  const read = (config: JsonObject, more: Partial<Parameters<typeof readRope>[1]>): Rope =>
    readRope(new Fields(config, 'config.json'), { dim: 8, maxPositions: 128, ...more });

  test('other fields, a share of the head, and old names of scalings', () => {
    const partial = { field: 'rotary_pct', value: 0.25 };
    expect(read({ rotary_pct: 0.5, base: 500 }, { partial, theta: { field: 'base', value: 1 } }).inverseFrequencies).toEqual([1, Math.fround(1 / Math.fround(500 ** 0.5))]);
    expect(read({}, { partial }).inverseFrequencies).toEqual([1]);
    expect(() => read({ rotary_pct: 1.5 }, { partial })).toThrow(/rotary_pct is 1.5, it must be at most 1/);
    const long = { short_factor: [1, 1.1, 1.2, 1.3], long_factor: [1, 2, 3, 4], original_max_position_embeddings: 32 };
    const aliases = { su: 'longrope' } as const;
    expect(read({ rope_scaling: { type: 'su', ...long } }, { aliases })).toEqual(rope({ rope_parameters: { rope_type: 'longrope', ...long } }));
  });
});
