/** Muon: momentum whose steps have the same length in every direction that a matrix has. */
import { updateKernels } from './kernels.js';
import type { Orthogonalizer } from './newton-schulz.js';
import { type Optimizer, rateAt, type Schedule } from './optimizer.js';

/** How a weight is a matrix, as plain data. */
export interface MatrixForm {
  readonly name: string;
  /** Of the matrix as it is stored, row-major. */
  readonly rows: number;
  readonly cols: number;
  /** It is stored as (inputs, outputs). */
  readonly turned: boolean;
}

export interface MuonOptions {
  readonly rate: number | Schedule;
  /** 0.95 when absent. */
  readonly momentum?: number;
  /** Shrinks weights by rate · weightDecay in each step; 0 when absent. */
  readonly weightDecay?: number;
  /** The weights that it steps: `hiddenMatrices` finds them. It leaves others alone. */
  readonly matrices: readonly MatrixForm[];
  /** `newtonSchulz`, which the caller disposes. */
  readonly orthogonalizer: Orthogonalizer;
}

/** Gradients smaller than this count as none. */
const EPSILON = 1e-7;
/** Floats of a stack: a large model is stepped in parts, and few products of some size are as fast as one. */
const STACK = 2 ** 22;

/**
 * Jordan et al. 2024 (kellerjordan.github.io/posts/muon), with the decay of Liu et al. 2025 (arXiv:2502.16982): v ← μ v + g; U = the orthogonal factor of g + μ v (Nesterov);
 * w ← (1 − rate decay) w − rate √max(1, outputs / inputs) U. Made for the matrices of hidden layers; embeddings, output layers, gains and biases are for AdamW. Matrices of one shape are orthogonalised together.
 */
export function muon({ rate, momentum = 0.95, weightDecay = 0, matrices, orthogonalizer }: MuonOptions): Optimizer {
  const kernels = updateKernels();
  return {
    init: (weights) => new Map(matrices.flatMap(({ name, rows, cols }) => (weights.has(name) ? [[`momentum/${name}`, new Float32Array(rows * cols)] as const] : []))),
    async update(weights, gradients, state, step) {
      const lr = rateAt(rate, step);
      for (const stack of stacks(matrices.filter(({ name }) => weights.has(name) && gradients.has(name)))) {
        const { rows, cols } = stack[0]!;
        const size = rows * cols;
        const data = new Float32Array(stack.length * size);
        stack.forEach(({ name }, i) => direction(gradients.get(name)!, state.get(`momentum/${name}`)!, data.subarray(i * size, (i + 1) * size)));
        const factors = await orthogonalizer.orthogonalize({ data, count: stack.length, rows, cols });
        stack.forEach(({ name, turned }, i) => {
          const [outputs, inputs] = turned ? [cols, rows] : [rows, cols];
          kernels.blend(weights.get(name)!, factors.subarray(i * size, (i + 1) * size), 1 - lr * weightDecay, -lr * Math.sqrt(Math.max(1, outputs / inputs)));
        });
      }
    },
  };

  /** Into `out`, of Frobenius norm 1. */
  function direction(gradient: Float32Array, velocity: Float32Array, out: Float32Array): void {
    kernels.blend(velocity, gradient, momentum, 1);
    out.set(gradient);
    kernels.blend(out, velocity, 1, momentum);
    const scale = 1 / Math.max(EPSILON, Math.sqrt(kernels.sumSquares(out)));
    kernels.blend(out, out, scale, 0);
  }
}

/** Matrices of one shape, a few at a time, always in the same order. */
function stacks(matrices: readonly MatrixForm[]): MatrixForm[][] {
  const byShape = new Map<string, MatrixForm[]>();
  for (const matrix of matrices) {
    const key = `${matrix.rows} ${matrix.cols}`;
    const known = byShape.get(key);
    if (known) known.push(matrix);
    else byShape.set(key, [matrix]);
  }
  return [...byShape.values()].flatMap((alike) => {
    const most = Math.max(1, Math.floor(STACK / (alike[0]!.rows * alike[0]!.cols)));
    return Array.from({ length: Math.ceil(alike.length / most) }, (_, i) => alike.slice(i * most, (i + 1) * most));
  });
}
