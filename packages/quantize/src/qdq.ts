/** Block-quantized weights in standard ONNX: DequantizeLinear (opset 21) before an ordinary MatMul. */
import { attribute, type Graph, lazy, Node, Value } from '@penjing/core';
import { storedBits } from './scheme.js';
import { productOf } from './split-gemm.js';
import type { WeightForm } from './weight-form.js';

/** First opset of ai.onnx in which DequantizeLinear has blocks and the integer type, and the IR version of that type. */
const FIRST_OPSET = { 2: 25, 4: 21, 8: 21 } as const;
const FIRST_IR = { 2: 13, 4: 10, 8: 10 } as const;

/**
 * Puts the dequantized matrix where the weight was. Values are (K, N) with blocks along axis 0: the one form that
 * ONNX Runtime turns into MatMulNBits when it loads the model.
 */
export const qdqForm: WeightForm = {
  layout: 'linear',
  irVersion: (scheme) => FIRST_IR[storedBits(scheme)],

  refuse({ root, opsets, matrix, sites }, scheme) {
    const bits = storedBits(scheme);
    const needed = FIRST_OPSET[bits];
    const opset = opsets.get('') ?? 0;
    if (opset < needed) return `int${bits} DequantizeLinear needs opset ${needed}, the model has ${opset}`;
    if (sites.some((site) => site.kind === 'gather')) {
      return 'a lookup in standard form would dequantize the whole table at each step';
    }
    // Measured with ONNX Runtime 1.30: the fused product then gives zeros, without an error. Float32 is right.
    if (matrix.dtype === 'float16' && sites.some(({ node }) => node.graph !== root)) {
      return 'ONNX Runtime computes float16 DequantizeLinear + MatMul wrongly in subgraphs';
    }
    return undefined;
  },

  apply({ weight, matrix, sites }, { values, scales, zeroPoints }, { scheme, names }) {
    const [rows, cols] = matrix.shape as [number, number];
    const tensors = Object.entries({ '': values, _scales: scales, _zero_points: zeroPoints }).flatMap(([suffix, tensor]) =>
      tensor ? [[suffix, lazy.transpose(tensor, [1, 0])] as const] : []);
    // ONNX Runtime 1.30 fails to load a DequantizeLinear + MatMul whose weight stands in an outer graph ("Missing
    // required weight"), so every graph lists what it reads. In a file with external data the bytes stand once.
    const storedIn = new Map<Graph, Value[]>();
    const storeIn = (graph: Graph): Value[] =>
      tensors.map(([suffix, tensor]) => graph.addInitializer(names.claim(`${weight.name}.q${scheme.bits}${suffix}`), tensor));
    for (const site of sites) {
      const node = productOf(site, names);
      const graph = node.graph!;
      const inputs = storedIn.get(graph) ?? storeIn(graph);
      storedIn.set(graph, inputs);
      const { name } = node.output();
      const dense = new Value(names.claim(`${name}_weight`), { kind: 'tensor', dtype: matrix.dtype, shape: [cols, rows] });
      graph.insertBefore(
        node,
        new Node('DequantizeLinear', inputs, [dense], {
          name: names.claim(`${name}_dequantize`),
          attributes: [['axis', attribute.int(0)], ['block_size', attribute.int(scheme.blockSize)]],
        }),
      );
      node.setInput(1, dense);
    }
    return [...storedIn.values()][0]![0]!;
  },
};
