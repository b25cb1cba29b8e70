/** A palette in the graph: packed places and a codebook, and the standard operators that make weights of them again. */
import { attribute, denseOf, dtypes, type Graph, lazy, type Names, Node, type Tensor, Value } from '@penjing/core';

export interface StoredPalette {
  /** Packed places, the lowest bits first: uint8 (rows, cols · bits / 8) each. */
  readonly planes: readonly { readonly tensor: Tensor; readonly bits: number }[];
  /** (groups, entries), of the type of the weights. */
  readonly codebook: Tensor;
  /** The places as they lie, in rows: the shape of the weight, or of its transpose. */
  readonly shape: readonly number[];
  readonly turned: boolean;
}

/** How many of the bits of a place lie together: bytes hold 1, 2, 4 or 8 of them. */
export function planesOf(bits: number): { shift: number; bits: 1 | 2 | 4 | 8 }[] {
  const planes: { shift: number; bits: 1 | 2 | 4 | 8 }[] = [];
  let shift = 0;
  for (const part of [8, 4, 2, 1] as const) {
    if ((bits & part) === 0) continue;
    planes.push({ shift, bits: part });
    shift += part;
  }
  return planes;
}

/**
 * Replaces an initializer by nodes at the start of its graph that compute it: BitShift unpacks the places, Gather or GatherElements
 * looks them up. They depend on constants only, so ONNX Runtime runs them once, when it loads the model. Since opset 11.
 */
export function storePalette(graph: Graph, weight: Value, { planes, codebook, shape, turned }: StoredPalette, names: Names): void {
  const [first] = graph.nodes();
  const [groups = 1] = codebook.shape;
  const initializer = (name: string, tensor: Tensor): Value => graph.addInitializer(names.claim(`${weight.name}.${name}`), tensor);
  const op = (opType: string, inputs: readonly Value[], name: string, attributes: [string, ReturnType<typeof attribute.int>][] = []): Value => {
    const output = new Value(names.claim(`${weight.name}.${name}`));
    const node = new Node(opType, inputs, [output], { name: names.claim(`${weight.name}.${name}_node`), attributes });
    if (first) graph.insertBefore(first, node);
    else graph.append(node);
    return output;
  };
  const shift = (value: Value, by: Value, direction: 'LEFT' | 'RIGHT', name: string): Value => op('BitShift', [value, by], name, [['direction', attribute.string(direction)]]);
  const int64 = (name: string, numbers: readonly number[]): Value => initializer(name, denseOf('int64', [numbers.length], numbers));

  const rows = int64('rows', [groups, -1]);
  const places = planes.map(({ tensor, bits }, i) => {
    const plane = `places${i === 0 ? '' : i}`;
    let value = initializer(plane, tensor);
    if (bits < 8) {
      const perByte = 8 / bits;
      const left = initializer(`${plane}_left`, denseOf('uint8', [perByte], Array.from({ length: perByte }, (_, at) => 8 - bits - at * bits)));
      const right = initializer(`${plane}_right`, denseOf('uint8', [1], [8 - bits]));
      // what is left of a place falls off at the top, what is right of it at the bottom
      value = shift(shift(op('Reshape', [value, int64(`${plane}_bytes`, [-1, 1])], `${plane}_column`), left, 'LEFT', `${plane}_high`), right, 'RIGHT', `${plane}_bits`);
    }
    return op('Cast', [op('Reshape', [value, rows], `${plane}_rows`)], `${plane}_int`, [['to', attribute.int(dtypes.int32.onnx)]]);
  });
  let [index] = places as [Value, ...Value[]];
  let weightOf = 2 ** planes[0]!.bits;
  for (const [i, plane] of places.slice(1).entries()) {
    const scaled = op('Mul', [plane, initializer(`factor${i}`, denseOf('int32', [1], [weightOf]))], `scaled${i}`);
    index = op('Add', [index, scaled], `index${i}`);
    weightOf *= 2 ** planes[i + 1]!.bits;
  }
  const found =
    groups === 1
      ? op('Gather', [initializer('codebook', lazy.reshape(codebook, [codebook.shape[1]!])), index], 'entries', [['axis', attribute.int(0)]])
      : op('GatherElements', [initializer('codebook', codebook), index], 'entries', [['axis', attribute.int(1)]]);
  let decoded = op('Reshape', [found, int64('shape', shape)], 'decoded');
  if (turned) decoded = op('Transpose', [decoded], 'turned', [['perm', attribute.ints([1, 0])]]);
  decoded.type = weight.type ?? { kind: 'tensor', dtype: codebook.dtype, shape: weight.tensor!.shape };
  weight.replaceUsesWith(decoded);
  graph.initializers.delete(weight.name);
}
