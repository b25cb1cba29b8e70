/** An optimizer whose weights lie on integer grids after every step: quantization-aware training without a node in the graph. */
import type { Buffers, Optimizer } from '../optimizers/optimizer.js';
import { type Grid, project, straightThrough } from './grid.js';

/** A weight that is held on a grid, as plain data. */
export interface GridConstraint extends Grid {
  readonly weight: string;
  /** To begin with. */
  readonly scales: Float32Array;
  /** The scales stay as they are: something else is measured in them. */
  readonly fixed?: boolean | undefined;
}

/** Largest change of a scale in one step, as a logarithm: Adam's first steps are as long as its rate, whatever the gradient. */
const LARGEST_STEP = 0.05;

/**
 * The graph is run with weights on the grid; what they were rounded from is `latent/NAME` in the state, and `inner` trains that with the gradients of the rounded weights (straight
 * through). Step sizes are trained by LSQ as their logarithms, so that they keep their sign and move by shares of themselves: `inner` sees a weight `scale/NAME` of zeros, and what it makes of it is
 * the change. State `step/NAME` holds the sizes. As an optimizer it costs two walks over the weights; as nodes in the graph it would be some twenty, forward and backward.
 */
export function onGrids(inner: Optimizer, grids: readonly GridConstraint[]): Optimizer {
  const logScale = (name: string): string => `scale/${name}`;
  return {
    init(weights) {
      const here = present(grids, weights);
      const seen = new Map(weights);
      for (const { weight, scales, fixed } of here) if (!fixed) seen.set(logScale(weight), new Float32Array(scales.length));
      const own = here.flatMap(({ weight, scales }): [string, Float32Array][] => [[`latent/${weight}`, weights.get(weight)!.slice()], [`step/${weight}`, scales.slice()]]);
      return new Map([...inner.init(seen), ...own]);
    },
    async update(weights, gradients, state, step) {
      const here = present(grids, gradients);
      const seen = new Map(weights);
      const flows = new Map(gradients);
      for (const grid of here) {
        const { weight } = grid;
        const latent = state.get(`latent/${weight}`)!;
        const scales = state.get(`step/${weight}`)!;
        const change = straightThrough(gradients.get(weight)!, latent, scales, grid);
        seen.set(weight, latent);
        if (grid.fixed) continue;
        flows.set(logScale(weight), change);
        seen.set(logScale(weight), new Float32Array(scales.length));
      }
      await inner.update(seen, flows, state, step);
      for (const grid of here) {
        const { weight } = grid;
        const scales = state.get(`step/${weight}`)!;
        const change = seen.get(logScale(weight));
        if (change) for (let i = 0; i < scales.length; i++) scales[i]! *= Math.exp(Math.max(-LARGEST_STEP, Math.min(LARGEST_STEP, change[i]!)));
        project(state.get(`latent/${weight}`)!, weights.get(weight)!, scales, grid);
      }
    },
  };
}

const present = (grids: readonly GridConstraint[], buffers: Buffers): GridConstraint[] => grids.filter(({ weight }) => buffers.has(weight));
