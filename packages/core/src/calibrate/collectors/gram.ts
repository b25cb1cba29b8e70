/** Products XᵀX of the rows of an activation: the Hessian of a layer that reads it. */
import { channelsOf, type CollectorFactory, floatsOf } from './collector.js';

export interface GramStatistic {
  /** XᵀX over all rows, (channels, channels). */
  sums: Float32Array;
  channels: number;
  rows: number;
}

export const gram: CollectorFactory<GramStatistic> = (value, { products }) => {
  let sums: Float32Array | undefined;
  let width = 0;
  let rows = 0;
  return {
    async add(tensor) {
      const data = floatsOf(value, tensor);
      width = channelsOf(value, tensor, sums && width);
      const count = data.length / width;
      const x = { data, rows: count, cols: width };
      const product = await products.multiply({ ...x, transposed: true }, x);
      if (sums) for (let i = 0; i < product.length; i++) sums[i]! += product[i]!;
      else sums = product;
      rows += count;
    },
    result: () => ({ sums: sums ?? new Float32Array(0), channels: width, rows }),
  };
};
