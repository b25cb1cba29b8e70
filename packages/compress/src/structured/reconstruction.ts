/** What a layer loses without some of its inputs when the others make up for them, unit by unit, and with them gone already. */
import { type JobContext, PenjingError } from '@penjing/core';
import { cholesky, factorHessian, matrixProducts, type Products, solveTransposed } from '@penjing/core/linalg';

export interface ReconstructionOptions {
  /** (features, outputs), overwritten. */
  readonly weights: Float32Array;
  readonly features: number;
  readonly outputs: number;
  /** Features of each unit. */
  readonly units: readonly Uint32Array[];
  /** XᵀX (features, features), overwritten. */
  readonly sums: Float32Array;
  /** So many units are taken out one after the other, each as those before it left the layer; 0 weighs every unit on its own. */
  readonly remove: number;
}

/** Added to the diagonal of the Gram matrix, as a share of its mean. */
const DAMPING = 1e-2;

/** Units that are taken out between two looks at the others: sixteen looks cost 16 features² products, and lose little to one unit at a time. */
const LOOKS = 16;

/**
 * ½ tr(wᵀ ([H⁻¹]ᵤᵤ)⁻¹ w) of every unit u (Hassibi and Stork 1992, for groups). With `remove`, the cheapest go and H⁻¹ and w become
 * those of a layer without them: H⁻¹ − H⁻¹ᵣᵀ ([H⁻¹]ᵣᵣ)⁻¹ H⁻¹ᵣ, by products of blocks. What goes is then below all that stays, in order. Throws `E_DATA`.
 */
export async function reconstruction({ weights, features, outputs, units, sums, remove }: ReconstructionOptions, context: JobContext): Promise<Float64Array> {
  await using products = matrixProducts(context.engine);
  const tools = { ...context, products };
  // H = AᵀA with A lower triangular, so H⁻¹ = A⁻¹ A⁻ᵀ
  const { lower } = await factorHessian(sums, features, { ...tools, damping: DAMPING });
  const root = await inverseOfLower(lower, features, products);
  const whole = { data: root, rows: features, cols: features };
  const inverse = remove > 0 ? await products.multiply(whole, { ...whole, transposed: true }) : undefined;
  const scores = new Float64Array(units.length);
  const left = new Set(units.keys());
  const gone: number[] = [];
  const most = Math.min(remove, units.length - 1);
  for (;;) {
    context.signal?.throwIfAborted();
    for (const batch of batches([...left], units)) {
      const blocks = await diagonal(batch.map((u) => units[u]!), { root, inverse, features }, products);
      for (const [i, u] of batch.entries()) scores[u] = await loss(blocks[i]!, units[u]!, weights, outputs, tools);
    }
    if (gone.length === most) break;
    const next = [...left].sort((a, b) => scores[a]! - scores[b]! || a - b).slice(0, Math.min(Math.ceil(most / LOOKS), most - gone.length));
    await takeOut(next.flatMap((u) => [...units[u]!]), { inverse: inverse!, weights, features, outputs }, tools);
    for (const u of next) {
      left.delete(u);
      gone.push(u);
    }
  }
  const least = Math.min(...[...left].map((u) => scores[u]!));
  for (const [i, u] of gone.entries()) scores[u] = (least * (i + 1)) / (gone.length + 1);
  return scores;
}

interface Tools extends JobContext {
  readonly products: Products;
}

/** Features whose products are computed in one call, at least: a call costs as much as thousands of them. */
const AT_ONCE = 128;

function batches(chosen: readonly number[], units: readonly Uint32Array[]): number[][] {
  const made: number[][] = [];
  let features = AT_ONCE;
  for (const u of chosen) {
    if (features >= AT_ONCE) {
      made.push([]);
      features = 0;
    }
    made.at(-1)!.push(u);
    features += units[u]!.length;
  }
  return made;
}

interface Inverse {
  /** (features, features): the inverse is this times its transpose. */
  readonly root: Float32Array;
  readonly inverse: Float32Array | undefined;
  readonly features: number;
}

/** [H⁻¹]ᵤᵤ of these units. */
async function diagonal(units: readonly Uint32Array[], { root, inverse, features }: Inverse, products: Products): Promise<Float32Array[]> {
  if (inverse) return units.map((unit) => square(unit, (i, j) => inverse[i * features + j]!));
  const all = units.flatMap((unit) => [...unit]);
  const rows = { data: rowsOf(root, all, features), rows: all.length, cols: features };
  const product = await products.multiply(rows, { ...rows, transposed: true });
  let at = 0;
  return units.map((unit) => {
    const first = at;
    at += unit.length;
    return square(unit.map((_, i) => first + i), (i, j) => product[i * all.length + j]!);
  });
}

function square(indices: Uint32Array, of: (i: number, j: number) => number): Float32Array {
  const n = indices.length;
  const block = new Float32Array(n * n);
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) block[i * n + j] = of(indices[i]!, indices[j]!);
  return block;
}

function rowsOf(matrix: Float32Array, indices: ArrayLike<number>, cols: number): Float32Array {
  const rows = new Float32Array(indices.length * cols);
  for (let i = 0; i < indices.length; i++) rows.set(matrix.subarray(indices[i]! * cols, (indices[i]! + 1) * cols), i * cols);
  return rows;
}

async function loss(block: Float32Array, unit: Uint32Array, weights: Float32Array, outputs: number, tools: Tools): Promise<number> {
  const n = unit.length;
  const rows = rowsOf(weights, unit, outputs);
  const factor = { data: block, rows: n, cols: n };
  if ((await cholesky(factor, tools)) !== -1) throw tooClose();
  await solveTransposed(factor, { data: rows, rows: n, cols: outputs }, tools);
  let sum = 0;
  for (let i = 0; i < rows.length; i++) sum += rows[i]! * rows[i]!;
  return sum / 2;
}

/** H⁻¹ and the weights of the layer without these features, in place. */
async function takeOut(indices: readonly number[], { inverse, weights, features, outputs }: { readonly inverse: Float32Array; readonly weights: Float32Array; readonly features: number; readonly outputs: number }, tools: Tools): Promise<void> {
  const n = indices.length;
  const factor = { data: square(Uint32Array.from(indices), (i, j) => inverse[i * features + j]!), rows: n, cols: n };
  if ((await cholesky(factor, tools)) !== -1) throw tooClose();
  const across = { data: rowsOf(inverse, indices, features), rows: n, cols: features };
  await solveTransposed(factor, across, tools);
  const lost = { data: rowsOf(weights, indices, outputs), rows: n, cols: outputs };
  await solveTransposed(factor, lost, tools);
  const change = await tools.products.multiply({ ...across, transposed: true }, lost);
  for (let i = 0; i < weights.length; i++) weights[i]! -= change[i]!;
  const shrink = await tools.products.multiply({ ...across, transposed: true }, across);
  for (let i = 0; i < inverse.length; i++) inverse[i]! -= shrink[i]!;
}

function tooClose(): PenjingError {
  return new PenjingError('E_DATA', 'the inputs of a layer are too close to depend on each other');
}

const PANEL = 128;

/** (n, n), by panels of rows. */
async function inverseOfLower(lower: Float32Array, n: number, products: Products): Promise<Float32Array> {
  const inverse = new Float32Array(n * n);
  for (let start = 0; start < n; start += PANEL) {
    const end = Math.min(start + PANEL, n);
    const rows = inverse.subarray(start * n, end * n);
    for (let i = start; i < end; i++) rows[(i - start) * n + i] = 1;
    if (start > 0) {
      const known = await products.multiply({ data: lower.subarray(start * n, end * n), rows: end - start, cols: n, window: [0, start] }, { data: inverse, rows: start, cols: n, window: [0, start] });
      for (let i = 0; i < end - start; i++) for (let j = 0; j < start; j++) rows[i * n + j]! -= known[i * start + j]!;
    }
    for (let i = start; i < end; i++) {
      const row = rows.subarray((i - start) * n, (i - start + 1) * n);
      for (let k = start; k < i; k++) {
        const factor = lower[i * n + k]!;
        const other = rows.subarray((k - start) * n, (k - start + 1) * n);
        for (let j = 0; j < end; j++) row[j]! -= factor * other[j]!;
      }
      const scale = 1 / lower[i * n + i]!;
      for (let j = 0; j < end; j++) row[j]! *= scale;
    }
  }
  return inverse;
}
