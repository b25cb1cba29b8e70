/**
 * What llama.cpp does to activations, put into one of our graphs: a product with quantized weights rounds them to Q8_0 first, one
 * with F16 weights to float16 (`vec_dot_type` of ggml's types), one with F32 weights not at all.
 */
import { attribute, denseOf, type Model, Node, Value } from '@penjing/core';

const FLOAT = 1;
const FLOAT16 = 10;
const BLOCK = 32;

/** `typeOf` gives the type in the GGUF file of a weight by its name in the graph; undefined for what is no weight. Returns how many products round. */
export function roundActivations(model: Model, typeOf: (weight: string) => string | undefined): number {
  let count = 0;
  const { graph } = model;
  const constant = (name: string, dtype: 'float32' | 'int64', shape: readonly number[], values: readonly number[]): Value =>
    graph.initializers.get(name) ?? graph.addInitializer(name, denseOf(dtype, shape, values));
  const [most, blocked, whole, last, zero] = [
    constant('ggml.127', 'float32', [], [127]), constant('ggml.blocked', 'int64', [4], [0, 0, -1, BLOCK]), constant('ggml.whole', 'int64', [3], [0, 0, -1]),
    constant('ggml.last', 'int64', [1], [-1]), constant('ggml.0', 'float32', [], [0]),
  ];
  const makers = new Map([...graph.nodes()].flatMap((node) => node.outputs.map((value) => [value, node] as const)));
  for (const node of [...graph.nodes()]) {
    if (node.opType !== 'MatMul') continue;
    const matrix = node.input(1)!;
    const maker = makers.get(matrix);
    const type = typeOf((maker?.opType === 'Transpose' ? maker.input(0)! : matrix).name);
    if (type === undefined || type === 'F32') continue;
    const insert = (opType: string, inputs: readonly Value[], attributes: Readonly<Record<string, number>> = {}): Value => {
      const out = new Value(`ggml.${opType}.${graph.nodeCount}`);
      graph.insertBefore(node, new Node(opType, inputs, [out], { attributes: Object.entries(attributes).map(([name, value]) => [name, attribute.int(value)] as const) }));
      return out;
    };
    const half = (value: Value): Value => insert('Cast', [insert('Cast', [value], { to: FLOAT16 })], { to: FLOAT });
    const x = node.input(0)!;
    node.setInput(0, type === 'F16' ? half(x) : quantized(x));
    count++;

    /** (batch, seq, width) in blocks of 32: the scale is rounded to float16 after it has divided. */
    function quantized(value: Value): Value {
      const blocks = insert('Reshape', [value, blocked]);
      const largest = insert('ReduceMax', [insert('Abs', [blocks]), last], { keepdims: 1 });
      // times 127 / largest, not over largest / 127: that much decides which way a half goes
      const inverse = insert('Where', [insert('Equal', [largest, zero]), zero, insert('Div', [most, largest])]);
      const codes = insert('Round', [insert('Mul', [blocks, inverse])]);
      const scale = insert('Div', [largest, most]);
      return insert('Reshape', [insert('Mul', [codes, half(scale)]), whole]);
    }
  }
  return count;
}
