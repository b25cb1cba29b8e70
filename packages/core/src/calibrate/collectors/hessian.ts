/** XᵀX on disk: what is large need not be in memory before a job reads it. */
import type { TensorReference } from '../../job.js';
import { DenseTensor } from '../../tensor.js';
import type { CollectorFactory } from './collector.js';
import { gram } from './gram.js';

export interface HessianStatistic {
  /** (channels, channels), for `readHessian` in a job. */
  readonly sums: TensorReference;
  readonly channels: number;
  /** Rows seen. */
  readonly rows: number;
}

export const hessian: CollectorFactory<HessianStatistic> = (value, tools) => {
  const sums = gram(value, tools);
  return {
    add: (tensor) => sums.add(tensor),
    async result() {
      const { sums: matrix, channels, rows } = await sums.result();
      return { sums: await tools.put(DenseTensor.of('float32', [channels, channels], matrix)), channels, rows };
    },
  };
};
