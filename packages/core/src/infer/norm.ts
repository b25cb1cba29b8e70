/** Shape rules of normalization operators. */
import { type DType, dtypeOfOnnx } from '../dtype.js';
import type { OpName } from '../ops/lookup.js';
import { axisIn, type InferContext, type InferRule, likeInput, tensor } from './rule.js';

/** Mean and inverse deviation keep the axes before `axis`. */
export const layerNorm: InferRule = (c) => {
  const shape = c.shape(0);
  const axis = shape && axisIn(c.node.int('axis', -1), shape.length);
  const stash = dtypeOfOnnx.get(c.node.int('stash_type', 1));
  const statistics = tensor(stash, shape && shape.map((dim, i) => (axis !== undefined && i >= axis ? 1 : dim)));
  return [{ type: c.type(0) }, statistics, statistics];
};

const batchNorm: InferRule = (c) => {
  const perChannel = (index: number): ReturnType<typeof tensor> => tensor(dtypeOfStatistics(c), c.shape(index));
  return [{ type: c.type(0) }, perChannel(3), perChannel(4)];
};

function dtypeOfStatistics(c: InferContext): DType | undefined {
  return c.dtype(3) ?? c.dtype(0);
}

export const normRules = {
  LayerNormalization: layerNorm, BatchNormalization: batchNorm,
  SimplifiedLayerNormalization: (c) => layerNorm(c).slice(0, 2),
  RMSNormalization: likeInput, GroupNormalization: likeInput, InstanceNormalization: likeInput, LpNormalization: likeInput,
  MeanVarianceNormalization: likeInput,
} satisfies Partial<Record<OpName, InferRule>>;
