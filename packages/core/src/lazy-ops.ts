/** Operations on tensors that compute nothing yet: each gives a tensor over a larger expression. */
import type { BlockCodecName, EncodedBlockCodec } from '@penjing/kernels';
import type { DType } from './dtype.js';
import { PenjingError } from './errors.js';
import * as build from './expr/build.js';
import type { Repacked, RepackOptions } from './expr/build.js';
import type { AssignExpr, BlockScheme, GridChoice, SparseRule, TensorExpr } from './expr/tensor-expr.js';
import { LazyTensor, type SourceMap } from './lazy.js';
import { memorySource, type ByteSource } from './bytes.js';
import type { Shape } from './shape.js';
import type { DenseTensor, Tensor } from './tensor.js';

export interface QuantizedTensors {
  readonly values: Tensor;
  readonly scales: Tensor;
  readonly zeroPoints: Tensor | undefined;
}

export interface DequantizeTensors {
  readonly values: Tensor;
  readonly scales: Tensor;
  readonly zeroPoints?: Tensor | undefined;
  readonly scheme: BlockScheme;
  readonly shape: Shape;
  /** float32 when absent. */
  readonly dtype?: DType;
}

export type RepackedTensors = Repacked<Tensor>;

export const lazy = {
  /** A range of a source, as a tensor. `offset` in bytes. */
  source(from: ByteSource, offset: number, dtype: DType, shape: Shape): LazyTensor {
    return new LazyTensor(build.source(from.uri, offset, dtype, shape), new Map([[from.uri, from]]));
  },
  fill(dtype: DType, shape: Shape, value: number): LazyTensor {
    return new LazyTensor(build.fill(dtype, shape, value), new Map());
  },
  cast(input: Tensor, dtype: DType): Tensor {
    return input.dtype === dtype ? input : map([input], ([x]) => build.cast(x!, dtype));
  },
  /** The same bits as elements of another width: int32 [2, 3] is uint4 [2, 24]. */
  bitcast(input: Tensor, dtype: DType): Tensor {
    return input.dtype === dtype ? input : map([input], ([x]) => build.bitcast(x!, dtype));
  },
  reshape(input: Tensor, shape: Shape): Tensor {
    return map([input], ([x]) => build.reshape(x!, shape));
  },
  transpose(input: Tensor, perm: readonly number[]): Tensor {
    return map([input], ([x]) => build.transpose(x!, perm));
  },
  slice(input: Tensor, starts: readonly number[], shape: Shape): Tensor {
    return map([input], ([x]) => build.slice(x!, starts, shape));
  },
  concat(inputs: readonly Tensor[], axis: number): Tensor {
    return map(inputs, (list) => build.concat(list, axis));
  },
  gather(input: Tensor, indices: Tensor, axis = 0): Tensor {
    return map([input, indices], ([x, i]) => build.gather(x!, i!, axis));
  },
  multiply(a: Tensor, b: Tensor): Tensor {
    return map([a, b], ([x, y]) => build.multiply(x!, y!));
  },
  /** (m, k) · (k, n) in float32, for a small k. */
  matmul(a: Tensor, b: Tensor): Tensor {
    return map([a, b], ([x, y]) => build.matmul(x!, y!));
  },
  add(a: Tensor, b: Tensor): Tensor {
    return map([a, b], ([x, y]) => build.add(x!, y!));
  },
  mask(input: Tensor, keep: Tensor): Tensor {
    return map([input, keep], ([x, m]) => build.mask(x!, m!));
  },
  /** Zeros in place of what the rule does not keep; the error is measured on saving. */
  sparsify(input: Tensor, rule: SparseRule): Tensor {
    return map([input], ([x]) => build.sparsify(x!, rule));
  },
  /** Places in codebooks, ascending, packed; the error is measured on saving, with the lowest bits. */
  assign(input: Tensor, codebook: Tensor, plane: Pick<AssignExpr, 'shift' | 'bits'>): Tensor {
    return map([input, codebook], ([x, c]) => build.assign(x!, c!, plane));
  },
  /** Blocks of a GGUF file as float32; the last axis of `input` (uint8) counts the bytes of whole blocks. */
  decode(input: Tensor, codec: BlockCodecName): Tensor {
    return map([input], ([x]) => build.decode(x!, codec));
  },
  /** Floats as blocks of a GGUF file, uint8; the error is measured on saving. */
  encode(input: Tensor, codec: EncodedBlockCodec): Tensor {
    return map([input], ([x]) => build.encode(x!, codec));
  },
  /** A matrix whose weights are blocks of a GGUF file, as MatMulNBits takes it without rounding; undefined for any other tensor. */
  repack(input: Tensor, options: RepackOptions = {}): RepackedTensors | undefined {
    if (input.kind !== 'lazy' || input.shape.length !== 2) return undefined;
    const { expr, sources } = input as LazyTensor;
    if (expr.op !== 'decode') return undefined;
    const { planes, correction } = build.repack(expr, options);
    const tensor = (x: TensorExpr): Tensor => new LazyTensor(x, sources);
    return {
      planes: planes.map((plane) => ({
        ...plane, values: tensor(plane.values), scales: tensor(plane.scales), zeroPoints: plane.zeroPoints && tensor(plane.zeroPoints),
      })),
      correction: correction && tensor(correction),
    };
  },
  /** (values - zeroPoint) * scale per block; operands are shaped as `quantize` shapes them, the result is (rows, cols). */
  dequantize(inputs: DequantizeTensors): Tensor {
    const { values, scales, zeroPoints, ...rest } = inputs;
    const operands = zeroPoints ? [values, scales, zeroPoints] : [values, scales];
    return map(operands, ([v, s, z]) => build.dequantize({ values: v!, scales: s!, ...(z && { zeroPoints: z }), ...rest }));
  },
  /** Block quantization along the last axis of a matrix; the outputs are computed together when saved. */
  quantize(input: Tensor, scheme: BlockScheme, scaleDtype: DType = 'float32', grid?: GridChoice): QuantizedTensors {
    const { expr, sources } = lift(input);
    const { values, scales, zeroPoints } = build.quantize(expr, scheme, scaleDtype, grid);
    return {
      values: new LazyTensor(values, sources),
      scales: new LazyTensor(scales, sources),
      zeroPoints: zeroPoints && new LazyTensor(zeroPoints, sources),
    };
  },
} as const;

function map(tensors: readonly Tensor[], make: (inputs: TensorExpr[]) => TensorExpr): LazyTensor {
  const lifted = tensors.map(lift);
  return new LazyTensor(make(lifted.map(({ expr }) => expr)), mergeSources(lifted.map(({ sources }) => sources)));
}

/** Any tensor as an expression: a small dense tensor becomes a constant, a large one a memory source. */
function lift(tensor: Tensor): { expr: TensorExpr; sources: SourceMap } {
  switch (tensor.kind) {
    case 'lazy': {
      const { expr, sources } = tensor as LazyTensor;
      return { expr, sources };
    }
    case 'dense': {
      const { dtype, shape, bytes } = tensor as DenseTensor;
      if (bytes.byteLength <= build.MAX_CONSTANT_BYTES) return { expr: build.constant(dtype, shape, bytes), sources: new Map() };
      const memory = memorySource(bytes);
      return { expr: build.source(memory.uri, 0, dtype, shape), sources: new Map([[memory.uri, memory]]) };
    }
    default:
      throw new PenjingError('E_DTYPE', `${tensor.kind} tensors cannot be edited lazily`);
  }
}

function mergeSources(maps: readonly SourceMap[]): SourceMap {
  return maps.length === 1 ? maps[0]! : new Map(maps.flatMap((sources) => [...sources]));
}
