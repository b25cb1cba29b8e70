/** The weight matrices that block quantization can take, and why it cannot take the others. */
import type { Model, Value } from '@penjing/core';
import { type SkippedWeight, type WeightMatrix, weightMatrices, type WeightSite } from '@penjing/core/calibrate';

/** Weights of MatMul, Gemm and (when `embeddings`) Gather. */
export function blockMatrices(model: Model, embeddings: boolean): { matrices: WeightMatrix[]; skipped: SkippedWeight[] } {
  const found = weightMatrices(model, embeddings ? ['matmul', 'gemm', 'gather'] : ['matmul', 'gemm']);
  const refused = new Map(found.matrices.map((matrix) => [matrix, refuseMatrix(matrix)]));
  return {
    matrices: found.matrices.filter((matrix) => refused.get(matrix) === undefined),
    skipped: [...found.skipped, ...[...refused].flatMap(([{ weight }, reason]) => (reason === undefined ? [] : [{ weight, reason }]))],
  };
}

/** Why no kernel computes with its integers; undefined when one does. */
export function refuseMatrix({ matrix, opsets, sites }: WeightMatrix): string | undefined {
  if (matrix.dtype !== 'float32' && matrix.dtype !== 'float16') return `${matrix.dtype} has no quantized CPU kernel`;
  return sites.map((site) => siteRefusal(site, opsets.get('') ?? 1)).find((reason) => reason !== undefined);
}

function siteRefusal({ kind, node }: WeightSite, opset: number): string | undefined {
  if (kind === 'matmul' && rankOf(node.input(0)) === 1) return 'it multiplies a vector; MatMulNBits takes matrices';
  if (kind !== 'gemm') return undefined;
  const plain = node.int('transA', 0) === 0 && node.float('alpha', 1) === 1 && (!node.input(2) || node.float('beta', 1) === 1);
  if (!plain) return 'its Gemm has transA, alpha or beta';
  // Addition broadcasts both ways from opset 7 on.
  return opset < 7 ? 'its Gemm is older than opset 7' : undefined;
}

function rankOf(value: Value | undefined): number | undefined {
  return value?.type?.kind === 'tensor' ? value.type.shape?.length : undefined;
}
