/** The order in which GPTQ rounds the inputs of a layer: the most active first. */

/** Inputs by the Hessian's diagonal, largest first (Frantar et al. 2022, "act-order"). Returns the input at each place. */
export function inputOrder(hessian: Float32Array, size: number): Uint32Array {
  return Uint32Array.from({ length: size }, (_, i) => i).sort((i, j) => hessian[j * size + j]! - hessian[i * size + i]! || i - j);
}

/**
 * Blocks by the mean of their part of the Hessian's diagonal, inputs within a block by theirs, largest first: the inputs of a block
 * stay together, so that its grid can follow from what they have become. Returns the input at each place; a last, short block stays last.
 */
export function blockOrder(hessian: Float32Array, size: number, blockSize: number): Uint32Array {
  const active = (input: number): number => hessian[input * size + input]!;
  const blocks = Array.from({ length: Math.ceil(size / blockSize) }, (_, b) => {
    const inputs = Array.from({ length: Math.min(blockSize, size - b * blockSize) }, (_, i) => b * blockSize + i);
    return { inputs: inputs.sort((i, j) => active(j) - active(i) || i - j), mean: inputs.reduce((sum, i) => sum + active(i), 0) / inputs.length };
  });
  const last = size % blockSize === 0 ? [] : blocks.splice(-1);
  blocks.sort((a, b) => b.mean - a.mean || a.inputs[0]! - b.inputs[0]!);
  return Uint32Array.from([...blocks, ...last].flatMap(({ inputs }) => inputs));
}

/** Rows and columns of a symmetric matrix in another order. */
export function reorderSquare(matrix: Float32Array, size: number, order: Uint32Array): Float32Array {
  const out = new Float32Array(matrix.length);
  for (let i = 0; i < size; i++) {
    const row = order[i]! * size;
    for (let j = 0; j < size; j++) out[i * size + j] = matrix[row + order[j]!]!;
  }
  return out;
}
