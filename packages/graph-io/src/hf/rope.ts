/** The frequencies of rotary position embeddings, for every scaling that transformers knows for this family. */
import { PenjingError } from '@penjing/core';
import { Fields } from './fields.js';

/** How positions become angles. */
export interface Rope {
  /** Angle per position of each pair of columns; half the width that is rotated. */
  readonly inverseFrequencies: readonly number[];
  /** Multiplies cos and sin. */
  readonly attentionFactor: number;
  /** Neighbouring columns are pairs; otherwise the first half pairs with the second. */
  readonly interleaved?: boolean;
  /** What changes when a run reaches far positions; `length` below is the largest position of the run plus 1. */
  readonly far?: FarRope;
}

export type FarRope =
  /** Multiplies the frequencies by ratio ** exponents, ratio = factor * max(length, from) / from - (factor - 1). */
  | { readonly kind: 'stretch'; readonly from: number; readonly factor: number; readonly exponents: readonly number[] }
  /** Other frequencies for every token of a run whose length is above `from`. */
  | { readonly kind: 'switch'; readonly from: number; readonly inverseFrequencies: readonly number[] };

interface RopeInput {
  readonly fields: Fields;
  readonly theta: number;
  /** Width of a head; even. */
  readonly dim: number;
  readonly maxPositions: number;
  /** The length the model was trained with before it was scaled. */
  readonly originalPositions: number;
  /** theta ** (2i / dim), (dim / 2). */
  readonly powers: readonly number[];
  /** 1 / powers. */
  readonly base: readonly number[];
}

// The arithmetic follows transformers step by step in float32: an angle is a frequency times a position, so the last
// bit of a frequency is 0.006 of an angle at position 100,000. PyTorch divides a number by a tensor in two steps.
const f32 = Math.fround;
const over = (a: number, b: number): number => f32(f32(1 / b) * f32(a));

/** One row per `rope_type`. */
const ropes = {
  default: ({ base }) => plain(base),

  linear: ({ fields, base }) => {
    const factor = fields.positive('factor');
    return plain(base.map((frequency) => f32(frequency / f32(factor))));
  },

  dynamic: ({ fields, base, dim, maxPositions }) => {
    const factor = fields.positive('factor');
    if (dim <= 2) throw new PenjingError('E_CONFIG', `${fields.where}: dynamic scaling needs heads wider than ${dim}`);
    const exponents = base.map((_, i) => -(2 * i) / (dim - 2));
    return { ...plain(base), far: { kind: 'stretch', from: maxPositions, factor, exponents } };
  },

  yarn: (input) => {
    const { fields, theta, dim, powers, base, originalPositions, maxPositions } = input;
    const factor = fields.positive('factor', maxPositions / originalPositions);
    const edge = (turns: number): number =>
      (dim * Math.log(originalPositions / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
    const truncate = fields.boolean('truncate', true);
    const first = edge(optional(fields, 'beta_fast') ?? 32);
    const last = edge(optional(fields, 'beta_slow') ?? 1);
    const low = Math.max(truncate ? Math.floor(first) : first, 0);
    const high = Math.min(truncate ? Math.ceil(last) : last, dim - 1);
    const span = f32(low === high ? 0.001 : high - low);
    const inverseFrequencies = base.map((frequency, i) => {
      const ramp = Math.min(1, Math.max(0, f32(f32(i - f32(low)) / span)));
      const keep = f32(1 - ramp);
      const stretched = f32(1 / f32(f32(factor) * powers[i]!));
      return f32(f32(stretched * f32(1 - keep)) + f32(frequency * keep));
    });
    return { inverseFrequencies, attentionFactor: yarnAttention(fields, factor) };
  },

  llama3: ({ fields, base, originalPositions }) => {
    const factor = fields.positive('factor');
    const low = fields.positive('low_freq_factor');
    const high = fields.positive('high_freq_factor');
    if (high <= low) throw fields.wrong('high_freq_factor', 'above low_freq_factor');
    return plain(
      base.map((frequency) => {
        const wavelength = over(2 * Math.PI, frequency);
        if (wavelength < originalPositions / high) return frequency;
        if (wavelength > originalPositions / low) return f32(frequency / f32(factor));
        const smooth = f32(f32(over(originalPositions, wavelength) - f32(low)) / f32(high - low));
        return f32(f32(f32(f32(1 - smooth) * frequency) / f32(factor)) + f32(smooth * frequency));
      }),
    );
  },

  longrope: ({ fields, powers, maxPositions, originalPositions }) => {
    const factor = fields.positive('factor', maxPositions / originalPositions);
    const implied = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(originalPositions));
    const divided = (name: string): number[] => {
      const factors = fields.numbers(name, powers.length);
      return powers.map((power, i) => f32(1 / f32(f32(factors[i]!) * power)));
    };
    return {
      inverseFrequencies: divided('short_factor'),
      attentionFactor: fields.positive('attention_factor', implied),
      far: { kind: 'switch', from: originalPositions, inverseFrequencies: divided('long_factor') },
    };
  },
} as const satisfies Record<string, (input: RopeInput) => Rope>;

/** Names of the scalings, as `rope_type` spells them. */
export const ropeTypes = Object.keys(ropes) as readonly (keyof typeof ropes)[];

export interface RopeShape {
  /** Width of a head. */
  readonly dim: number;
  /** `max_position_embeddings`. */
  readonly maxPositions: number;
  /** `original_max_position_embeddings` where the config names none; `maxPositions` when absent. */
  readonly originalPositions?: number;
  /** Where the config says it outside the rotary settings, and what it is when nothing is said. */
  readonly theta?: { readonly field: string; readonly value: number };
  /** The same for the share of a head that is rotated, its first columns. Whole heads, and nothing else, when absent. */
  readonly partial?: { readonly field: string; readonly value: number };
  /** Neighbouring columns are pairs. */
  readonly interleaved?: boolean;
  /** Older names of scalings that this architecture's configs use. */
  readonly aliases?: Readonly<Record<string, RopeType>>;
  /** The settings, where they are not `rope_parameters` or `rope_scaling` as a whole; null when there are none. */
  readonly settings?: Fields | null;
}

type RopeType = keyof typeof ropes;

/**
 * The rotary settings of a config in either spelling: `rope_parameters` of transformers 5, or `rope_theta` with
 * `rope_scaling` before it. Throws `E_CONFIG` naming the field.
 */
export function readRope(config: Fields, shape: RopeShape): Rope {
  const { maxPositions, theta: base = { field: 'rope_theta', value: 10_000 }, aliases = {} } = shape;
  const given = shape.settings === undefined ? (nonEmpty(config.inside('rope_scaling')) ?? config.inside('rope_parameters')) : shape.settings;
  const fields = nonEmpty(given) ?? new Fields({}, config.where);
  const theta = fields.has('rope_theta') ? fields.positive('rope_theta') : config.positive(base.field, base.value);
  const dim = rotatedWidth(config, fields, shape);
  if (dim < 2 || dim % 2 !== 0) throw new PenjingError('E_CONFIG', `${config.where}: rotary heads must have an even width, not ${dim}`);
  const type = fields.choice(fields.has('rope_type') ? 'rope_type' : 'type', { ...ropes, ...aliases }, 'default');
  const original = 'original_max_position_embeddings';
  const originalPositions = config.has(original) ? config.size(original) : fields.size(original, shape.originalPositions ?? maxPositions);
  const powers = Array.from({ length: dim / 2 }, (_, i) => f32(theta ** f32((2 * i) / dim)));
  const frequencies = powers.map((power) => f32(1 / power));
  const rope: Rope = ropes[aliases[type] ?? type]({ fields, theta, dim, maxPositions, originalPositions, powers, base: frequencies });
  const paired = shape.interleaved ? { ...rope, interleaved: true } : rope;
  if ([...rope.inverseFrequencies, rope.attentionFactor].every(Number.isFinite)) return paired;
  throw new PenjingError('E_CONFIG', `${fields.where}: these rotary settings give frequencies that are not finite`);
}

/** Columns of a head that take part. */
function rotatedWidth(config: Fields, fields: Fields, { dim, partial }: RopeShape): number {
  if (!partial) {
    for (const place of [config, fields]) place.only('partial_rotary_factor', 1, 'this architecture rotates whole heads');
    return dim;
  }
  const own = fields.has('partial_rotary_factor');
  const share = own ? fields.positive('partial_rotary_factor') : config.positive(partial.field, partial.value);
  if (share > 1) throw (own ? fields : config).wrong(own ? 'partial_rotary_factor' : partial.field, 'at most 1');
  return Math.floor(dim * share);
}

function plain(inverseFrequencies: readonly number[]): Rope {
  return { inverseFrequencies, attentionFactor: 1 };
}

/** Stated, or from `mscale` and `mscale_all_dim` when both count, or from the factor alone. */
function yarnAttention(fields: Fields, factor: number): number {
  if (fields.has('attention_factor')) return fields.positive('attention_factor');
  const scale = (weight: number): number => (factor <= 1 ? 1 : 0.1 * weight * Math.log(factor) + 1);
  const [all, some] = [optional(fields, 'mscale_all_dim'), optional(fields, 'mscale')];
  return all !== undefined && some !== undefined ? scale(some) / scale(all) : scale(1);
}

/** A number that counts only when it is there and not 0, as Python's `or` has it. */
function optional(fields: Fields, name: string): number | undefined {
  return fields.has(name) ? fields.number(name) || undefined : undefined;
}

function nonEmpty(fields: Fields | null | undefined): Fields | undefined {
  return fields && Object.keys(fields.values).length > 0 ? fields : undefined;
}
