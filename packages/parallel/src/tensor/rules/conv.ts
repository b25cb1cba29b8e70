/** Sharding rules of convolutions and pooling: by output channels, by input channels, by groups. */
import { keptAxes, places, type ShardingContext, type ShardingRule, type ShardingRules, slot, way } from '../rule.js';

interface Layout {
  readonly weight: number;
  /** Per output channel, where they are no scalars. */
  readonly perChannel: readonly number[];
  /** What comes after is not linear. */
  readonly noSum?: boolean;
  /** A tensor that is added, (batch, channels, …). */
  readonly added?: number;
}

/** x (batch, channels, …), weight (channels out, channels in of a group, …). */
const conv = ({ weight, perChannel, noSum = false, added }: Layout): ShardingRule => (c) => {
  const groups = c.node.int('group', 1);
  const [x, w] = [c.shape(0), c.shape(weight)];
  const out = slot(c.outputShape(), 1);
  const beside = Object.fromEntries(perChannel.filter((i) => c.has(i)).map((i) => [i, c.shape(i)?.length === 1 && c.shape(i)![0] !== 1 ? slot(c.shape(i), 0) : c.shape(i) ? null : undefined]));
  const more = added !== undefined && c.has(added) ? { [added]: slot(c.shape(added), 1) } : {};
  const bias = perChannel.filter((i) => c.has(i));
  if (groups === 1) {
    const byOutput = way(places(c.inputCount, { [weight]: slot(w, 0), ...beside, ...more }), [out], { weight });
    const byInput = noSum ? [] : way(places(c.inputCount, { 0: slot(x, 1), [weight]: slot(w, 1) }), ['partial'], { weight, once: bias });
    return [...byOutput, ...byInput];
  }
  return way(places(c.inputCount, { 0: slot(x, 1), [weight]: slot(w, 0), ...beside, ...more }), [out], { weight, units: groups, attributes: ({ of }) => ({ group: of(groups) }) });
};

/** The weight is (channels in, channels out of a group, …). */
const turned: ShardingRule = (c) => {
  const groups = c.node.int('group', 1);
  const [x, w, out] = [c.shape(0), c.shape(1), slot(c.outputShape(), 1)];
  const bias = c.has(2) ? { 2: slot(c.shape(2), 0) } : {};
  if (groups === 1) {
    return [
      ...way(places(c.inputCount, { 1: slot(w, 1), ...bias }), [out], { weight: 1 }),
      ...way(places(c.inputCount, { 0: slot(x, 1), 1: slot(w, 0) }), ['partial'], { weight: 1, once: c.has(2) ? [2] : [] }),
    ];
  }
  return way(places(c.inputCount, { 0: slot(x, 1), 1: slot(w, 0), ...bias }), [out], { weight: 1, units: groups, attributes: ({ of }) => ({ group: of(groups) }) });
};

/** Channels and batch. */
const pool: ShardingRule = (c) => keptAxes(c, spatial(c));

/** Places of the largest elements count through the whole tensor. */
const maxPool: ShardingRule = (c) => (c.node.outputs.slice(1).some(({ name }) => name !== '') ? [] : pool(c));

const spatial = (c: ShardingContext): number[] => (c.shape(0) ?? []).map((_, axis) => axis).slice(2);

const quantizedPool: ShardingRule = (c) => (c.node.int('channels_last', 0) === 1 ? [] : pool(c));

export const convRules = {
  Conv: conv({ weight: 1, perChannel: [2] }),
  ConvTranspose: turned,
  'com.microsoft.FusedConv': conv({ weight: 1, perChannel: [2], noSum: true, added: 3 }),
  ConvInteger: conv({ weight: 1, perChannel: [3], noSum: true }),
  QLinearConv: conv({ weight: 3, perChannel: [4, 5, 8], noSum: true }),
  'com.microsoft.QLinearConv': (c) => (c.node.int('channels_last', 0) === 1 ? [] : conv({ weight: 3, perChannel: [4, 5, 8], noSum: true })(c)),
  AveragePool: pool,
  MaxPool: maxPool,
  LpPool: pool,
  GlobalAveragePool: pool,
  GlobalMaxPool: pool,
  GlobalLpPool: pool,
  'com.microsoft.QLinearAveragePool': quantizedPool,
  'com.microsoft.QLinearGlobalAveragePool': quantizedPool,
} satisfies ShardingRules;
