/** Block-quantized weights in standard ONNX: DequantizeLinear (opset 21) before an ordinary MatMul. */
import { attribute, lazy, type Model, Node, type Tensor, Value } from '@penjing/core';
import type { WeightMatrix } from './select.js';
import type { WeightScheme } from './scheme.js';
import { productOf } from './split-gemm.js';

/** First opset of ai.onnx in which DequantizeLinear has blocks and the integer type. */
const FIRST_OPSET = { 2: 25, 4: 21, 8: 21 } as const;

/** Why this form cannot hold a matrix, or undefined. */
export function refuseQdq(model: Model, matrix: WeightMatrix, scheme: WeightScheme): string | undefined {
  const needed = FIRST_OPSET[scheme.bits];
  const opset = model.opset() ?? 0;
  if (opset < needed) return `int${scheme.bits} DequantizeLinear needs opset ${needed}, the model has ${opset}`;
  if (matrix.sites.some((site) => site.kind === 'gather')) {
    return 'a lookup in standard form would dequantize the whole table at each step';
  }
  return undefined;
}

/**
 * Puts the dequantized matrix where the weight was. Values are (K, N) with blocks along axis 0: the one form that
 * ONNX Runtime turns into MatMulNBits when it loads the model.
 */
export function applyQdq(matrix: WeightMatrix, scheme: WeightScheme): string {
  const { weight, owner } = matrix;
  const [rows, cols] = matrix.matrix.shape as [number, number];
  const quantized = lazy.quantize(matrix.matrix, { ...scheme, layout: 'linear' }, matrix.matrix.dtype);
  const store = (suffix: string, tensor: Tensor): Value =>
    owner.addInitializer(`${weight.name}.${suffix}`, lazy.transpose(tensor, [1, 0]));
  const name = `q${scheme.bits}`;
  const values = store(name, quantized.values);
  const inputs: Value[] = [values, store(`${name}_scales`, quantized.scales)];
  if (quantized.zeroPoints) inputs.push(store(`${name}_zero_points`, quantized.zeroPoints));

  for (const site of matrix.sites) {
    const node = productOf(site);
    const graph = node.graph!;
    const dense = new Value(`${node.output().name}_weight`, { kind: 'tensor', dtype: weight.tensor!.dtype, shape: [cols, rows] });
    graph.insertBefore(
      node,
      new Node('DequantizeLinear', inputs, [dense], {
        name: `${node.name}_dequantize`,
        attributes: [['axis', attribute.int(0)], ['block_size', attribute.int(scheme.blockSize)]],
      }),
    );
    node.setInput(1, dense);
  }
  return values.name;
}
