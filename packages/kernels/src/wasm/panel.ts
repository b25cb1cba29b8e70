/** Dense panels by SIMD: strips of columns are copied through the staging area, since the work on them is far more than the copy. */
import type { PanelKernels, ProjectRowsArgs } from '../kernels.js';
import { choleskyPanel } from '../plain/panel.js';
import { checkPanel, checkProjection, hasGridPerRow } from '../shared/check-panel.js';
import { JOB, STAGE, type Instance } from './instance.js';

/** Columns per copy: seven such strips of 256 rows and a triangle fit the staging area. */
const STRIP = 32;

export function panelKernels(instance: Instance): PanelKernels {
  const { exports, buffer } = instance;
  const objective = new Float64Array(buffer, JOB, 1);
  const words = new Uint32Array(buffer, JOB + 16, 13);
  const floats = new Float32Array(buffer, JOB + 16, 13);

  return {
    choleskyPanel,
    solveLower(lower, x, rows, cols) {
      checkPanel({ lower: [lower, rows, rows], x: [x, rows, cols] });
      const stage = new Stage(instance);
      const triangle = stage.floats(lower.length, lower);
      const strip = stage.strip(rows, cols, x);
      for (let c = 0; c < cols; c += STRIP) {
        strip.put(c);
        exports.solveLower(triangle, rows, strip.at, STRIP);
        strip.get(c);
      }
    },
    addProduct(a, b, c, rows, inner, cols) {
      checkPanel({ a: [a, rows, inner], b: [b, inner, cols], c: [c, rows, cols] });
      const stage = new Stage(instance);
      const factors = stage.floats(a.length, a);
      const right = stage.strip(inner, cols, b);
      const sums = stage.strip(rows, cols, c);
      for (let at = 0; at < cols; at += STRIP) {
        right.put(at);
        sums.put(at);
        exports.addProduct(factors, right.at, sums.at, rows, inner, STRIP);
        sums.get(at);
      }
    },
    projectRows(args: ProjectRowsArgs) {
      checkProjection(args);
      const { rows, cols, lower, weights, carried, keep, grid, values, differences } = args;
      const stage = new Stage(instance);
      const triangle = stage.floats(lower.length, lower);
      const given = [stage.strip(rows, cols, weights), stage.strip(rows, cols, carried)];
      const made = [stage.strip(rows, cols, values), stage.strip(rows, cols, differences)];
      const mask = keep && stage.strip(rows, cols, keep);
      const gridRows = grid && hasGridPerRow(grid, rows, cols) ? rows : 1;
      const scales = grid && stage.strip(gridRows, cols, grid.scales);
      const zeros = grid && stage.strip(gridRows, cols, grid.zeroPoints);
      const codes = grid && stage.strip(rows, cols, grid.codes);
      const inputs = [...given, mask, scales, zeros];
      const outputs = [...made, codes];
      objective[0] = 0;
      for (let c = 0; c < cols; c += STRIP) {
        for (const strip of inputs) strip?.put(c);
        words.set([
          rows, STRIP, triangle, given[0]!.at, given[1]!.at, mask?.at ?? 0, scales?.at ?? 0, zeros?.at ?? 0, 0, made[0]!.at, made[1]!.at, codes?.at ?? 0, gridRows > 1 ? STRIP * 4 : 0,
        ]);
        floats[8] = grid?.highest ?? 0;
        exports.projectRows(JOB + 16, JOB);
        for (const strip of outputs) strip?.get(c);
      }
      return objective[0];
    },
  };
}

type PanelArray = Float32Array | Uint8Array;

/** A part of a matrix in the staging area: some columns of all rows, the rest of a short strip zero. */
interface Strip {
  readonly at: number;
  put(column: number): void;
  get(column: number): void;
}

/** A loop: for so few elements `set` on a `subarray` takes ten times as long. */
function copyRow(from: PanelArray, at: number, to: PanelArray, place: number, count: number): void {
  for (let i = 0; i < count; i++) to[place + i] = from[at + i]!;
}

/** Hands out the staging area from its start. */
class Stage {
  readonly #instance: Instance;
  #top = STAGE;

  constructor(instance: Instance) {
    this.#instance = instance;
  }

  floats(length: number, content: Float32Array): number {
    const at = this.#take(length * 4);
    new Float32Array(this.#instance.buffer, at, length).set(content);
    return at;
  }

  strip(rows: number, cols: number, matrix: PanelArray): Strip {
    const { buffer } = this.#instance;
    const at = this.#take(rows * STRIP * matrix.BYTES_PER_ELEMENT);
    const staged = matrix instanceof Uint8Array ? new Uint8Array(buffer, at, rows * STRIP) : new Float32Array(buffer, at, rows * STRIP);
    return {
      at,
      put(column) {
        const width = Math.min(STRIP, cols - column);
        if (width < STRIP) staged.fill(0);
        for (let i = 0; i < rows; i++) copyRow(matrix, i * cols + column, staged, i * STRIP, width);
      },
      get(column) {
        const width = Math.min(STRIP, cols - column);
        for (let i = 0; i < rows; i++) copyRow(staged, i * STRIP, matrix, i * cols + column, width);
      },
    };
  }

  #take(bytes: number): number {
    const at = this.#top;
    this.#top += Math.ceil(bytes / 16) * 16;
    return at;
  }
}
