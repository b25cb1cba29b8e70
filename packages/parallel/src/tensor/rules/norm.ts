/** Sharding rules of normalizations: along what they do not look across. */
import { keptAxes, places, type ShardingContext, type ShardingRule, type ShardingRules, slot, way } from '../rule.js';

/** Over all axes from `axis` on. */
const overLast: ShardingRule = (c) => {
  const rank = c.shape(0)?.length ?? 0;
  const axis = c.node.int('axis', -1);
  const first = axis < 0 ? axis + rank : axis;
  return keptAxes(c, Array.from({ length: Math.max(0, rank - first) }, (_, i) => first + i));
};

/** Axis 1 of the data, the only one of the other inputs. */
const perChannel = (c: ShardingContext, count: number, more: Parameters<typeof way>[2] = {}): ReturnType<typeof way> => {
  const parameters = Object.fromEntries(Array.from({ length: count }, (_, i) => [i + 1, slot(c.shape(i + 1), 0)]));
  return way(places(c.inputCount, { 0: slot(c.shape(0), 1), ...parameters }), places(c.outputCount, { 0: slot(c.outputShape(), 1) }), more);
};

export const normRules = {
  BatchNormalization: (c) => (c.node.int('training_mode', 0) === 1 ? [] : perChannel(c, 4)),
  InstanceNormalization: (c) => perChannel(c, 2),
  GroupNormalization(c) {
    const groups = c.node.int('num_groups', 1);
    return perChannel(c, 2, { units: groups, attributes: ({ of }) => ({ num_groups: of(groups) }) });
  },
  LayerNormalization: overLast,
  RMSNormalization: overLast,
  SimplifiedLayerNormalization: overLast,
  LpNormalization: (c) => keptAxes(c, [c.node.int('axis', -1)]),
  LRN: (c) => keptAxes(c, [1]),
  MeanVarianceNormalization: (c) => keptAxes(c, c.node.ints('axes') ?? [0, 2, 3]),
} satisfies ShardingRules;
