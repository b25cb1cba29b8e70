/** What the rules of dynamic quantization have in common: activations rounded while the model runs, weights rounded when it is saved. */
import { attribute, DenseTensor, type Dim, denseOf, dtypes, type Graph, lazy, type Names, Node, type Shape, type Tensor, Value } from '@penjing/core';

/** Matrix with a scale for each row, and the way back to the shape of the weight. */
export interface RowLayout {
  /** (rows, cols), one row for each scale. */
  readonly matrix: Tensor;
  /** The codes as the operator wants them. */
  readonly restore: (codes: Tensor) => Tensor;
  /** Shape of the scales there. */
  readonly scaleShape: Shape;
}

export interface StoredWeight {
  readonly codes: Value;
  readonly scales: Value;
  readonly zeroPoint: Value;
}

/** Codes, scale and zero point of an activation. */
export type Rounded = readonly [codes: Value, scale: Value, zeroPoint: Value];

export class DynamicWriter {
  readonly names: Names;
  readonly #dtype: 'int8' | 'uint8';
  readonly #owners: ReadonlyMap<Value, Graph>;
  readonly #weights = new Map<string, StoredWeight>();
  readonly #rounded = new Map<Graph, Map<Value, Rounded>>();

  constructor(names: Names, dtype: 'int8' | 'uint8', owners: ReadonlyMap<Value, Graph>) {
    this.names = names;
    this.#dtype = dtype;
    this.#owners = owners;
  }

  /** int8 around zero, or the same codes moved by 128. Zero points are spread like the scales where `spread` says so. */
  weight(value: Value, form: string, { matrix, restore, scaleShape }: RowLayout, spread = false): StoredWeight {
    const known = this.#weights.get(`${value.name} ${form}`);
    if (known) return known;
    const graph = this.#owners.get(value)!;
    const rounded = lazy.quantize(matrix, { bits: 8, blockSize: matrix.shape[1]!, symmetric: true, layout: 'linear' });
    const unsigned = this.#dtype === 'uint8';
    const codes = unsigned ? lazy.cast(lazy.add(lazy.cast(rounded.values, 'float32'), denseOf('float32', [], [128])), 'uint8') : rounded.values;
    const zeroShape = spread ? scaleShape : [];
    const zeros = Array.from({ length: zeroShape.reduce((product, dim) => product * dim, 1) }, () => (unsigned ? 128 : 0));
    const add = (suffix: string, tensor: Tensor): Value => graph.addInitializer(this.names.claim(`${value.name}_${suffix}`), tensor);
    const stored = {
      codes: add('codes', restore(codes)),
      scales: add('scale', lazy.reshape(rounded.scales, scaleShape)),
      zeroPoint: add('zero_point', denseOf(this.#dtype, zeroShape, zeros)),
    };
    this.#weights.set(`${value.name} ${form}`, stored);
    return stored;
  }

  /** Where a weight went, by its name. */
  storedOf(name: string): { readonly name: string; readonly bytes: number } {
    const [, { codes, scales, zeroPoint }] = [...this.#weights].find(([key]) => key.startsWith(`${name} `))!;
    return { name: codes.name, bytes: [codes, scales, zeroPoint].reduce((sum, { tensor }) => sum + tensor!.byteLength, 0) };
  }

  /** The activation on 256 codes over its range in this run; once for all nodes of a graph that read it. */
  activation(value: Value, reader: Node): Rounded {
    const graph = reader.graph!;
    const inGraph = this.#rounded.get(graph) ?? new Map<Value, Rounded>();
    this.#rounded.set(graph, inGraph);
    const known = inGraph.get(value);
    if (known) return known;
    const outputs = [
      this.#value(`${value.name}_codes`, 'uint8', shapeOf(value)), this.#value(`${value.name}_scale`, 'float32', []), this.#value(`${value.name}_zero_point`, 'uint8', []),
    ] as const;
    graph.insertBefore(reader, new Node('DynamicQuantizeLinear', [value], outputs, { name: this.names.claim(`${value.name}/quantize`) }));
    inGraph.set(value, outputs);
    return outputs;
  }

  /** Sums of products times both scales, as `output`: Cast and two Mul, the form that ONNX Runtime fuses. */
  scaled(sums: Value, inputScale: Value, weightScale: Value, output: Value, before: Node): void {
    const graph = before.graph!;
    const base = output.name;
    const floats = this.#value(`${base}_sums`, 'float32', shapeOf(sums));
    const scale = this.#value(`${base}_scales`, 'float32', undefined);
    graph.insertBefore(before, new Node('Cast', [sums], [floats], { name: this.names.claim(`${base}/cast`), attributes: [['to', attribute.int(dtypes.float32.onnx)]] }));
    graph.insertBefore(before, new Node('Mul', [inputScale, weightScale], [scale], { name: this.names.claim(`${base}/scales`) }));
    graph.insertBefore(before, new Node('Mul', [floats, scale], [output], { name: this.names.claim(`${base}/scale`) }));
  }

  #value(name: string, dtype: 'uint8' | 'float32', shape: readonly Dim[] | undefined): Value {
    return new Value(this.names.claim(name), { kind: 'tensor', dtype, ...(shape && { shape }) });
  }
}

export function shapeOf(value: Value): readonly Dim[] | undefined {
  return value.type?.kind === 'tensor' ? value.type.shape : undefined;
}

/** Bias of a node as an initializer of another shape. */
export function reshapedBias(bias: Value, shape: Shape, owner: Graph, names: Names): Value {
  const tensor = bias.tensor!;
  return owner.addInitializer(names.claim(`${bias.name}_spread`), tensor.kind === 'dense' ? new DenseTensor(tensor.dtype, shape, (tensor as DenseTensor).bytes) : lazy.reshape(tensor, shape));
}
