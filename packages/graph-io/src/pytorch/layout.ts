/** The plan of a `.pth` file: a state dict that torch.load(weights_only=True) reads, weights streamed to their places. */
import { type Checkpoint, type DType, dtypes, elementCount, lazy, matrixView, PenjingError, stridesOf, type Tensor } from '@penjing/core';
import type { FileLayout } from '../layout.js';
import { PickleWriter } from './pickle-writer.js';
import { storageTypes, torchDtypes } from './torch-types.js';
import { type ZipContent, zipLayout } from './zip-layout.js';

export interface PytorchLayoutOptions {
  /** File name, `model.pth` by default. */
  readonly name?: string;
  /**
   * Rounds float weights of two and more axes to int8, with a scale and a zero point per index of the first axis. `qtensor`
   * writes torch's own quantized tensors (torch.qint8, torch.per_channel_affine); `parts` writes NAME as int8, NAME.scale as
   * float32 and NAME.zero_point as int64, for programs that do not know those: weight = (NAME - zero_point) * scale.
   */
  readonly quantize?: 'qtensor' | 'parts';
}

/** torch reads storages best where they start on 64 bytes, and writes them so. */
const ALIGNMENT = 64;

interface Stored {
  readonly key: string;
  readonly count: number;
}

/** Throws `E_DTYPE` for a tensor that torch has no type for. The same checkpoint gives the same bytes. */
export function pytorchLayout(checkpoint: Checkpoint, options: PytorchLayoutOptions = {}): FileLayout[] {
  const { name = 'model.pth', quantize } = options;
  const root = name.slice(name.lastIndexOf('/') + 1).replace(/\.[^.]*$/, '') || 'archive';
  const writer = new StateWriter();
  writer.pickle.orderedDict().sign('(');
  for (const [key, tensor] of checkpoint.tensors) {
    const rounded = quantize !== undefined && isWeight(tensor);
    if (!rounded) writer.entry(key, () => writer.tensor(tensor, key));
    else {
      const parts = roundedRows(tensor);
      if (quantize === 'qtensor') writer.entry(key, () => writer.quantized(parts, key));
      else {
        writer.entry(key, () => writer.tensor(parts.values, key));
        writer.entry(`${key}.scale`, () => writer.tensor(parts.scales, key));
        writer.entry(`${key}.zero_point`, () => writer.tensor(parts.zeroPoints, key));
      }
    }
  }
  writer.pickle.sign('u');
  const text = (value: string): Uint8Array => new TextEncoder().encode(value);
  return [
    zipLayout(name, [
      { name: `${root}/data.pkl`, content: writer.pickle.finish() },
      { name: `${root}/.format_version`, content: text('1') },
      { name: `${root}/.storage_alignment`, content: text(String(ALIGNMENT)) },
      { name: `${root}/byteorder`, content: text('little') },
      ...writer.contents(root),
      { name: `${root}/version`, content: text('3\n') },
    ], ALIGNMENT),
  ];
}

/** Matrices and kernels; embeddings too, scales and biases not. */
function isWeight({ dtype, shape }: Tensor): boolean {
  return dtypes[dtype].kind === 'float' && shape.length >= 2 && elementCount(shape) > 0;
}

interface Rounded {
  /** int8, in the shape of the weight. */
  readonly values: Tensor;
  /** float32, (first axis). */
  readonly scales: Tensor;
  /** int64, (first axis). */
  readonly zeroPoints: Tensor;
}

/** Codes are made unsigned, with scales above zero as torch wants them, and moved by half of their range. */
function roundedRows(tensor: Tensor): Rounded {
  const { rows, cols } = matrixView(tensor.shape);
  const { values, scales, zeroPoints } = lazy.quantize(lazy.reshape(tensor, [rows, cols]), { bits: 8, blockSize: cols, symmetric: false, layout: 'linear' });
  const signed = (codes: Tensor, dtype: DType): Tensor => lazy.cast(lazy.add(lazy.cast(codes, 'float32'), lazy.fill('float32', [], -128)), dtype);
  return {
    values: lazy.reshape(signed(values, 'int8'), tensor.shape),
    scales: lazy.reshape(scales, [rows]),
    zeroPoints: lazy.reshape(signed(zeroPoints!, 'int64'), [rows]),
  };
}

class StateWriter {
  readonly pickle = new PickleWriter();
  readonly #storages = new Map<Tensor, Stored>();
  readonly #contents: { tensor: Tensor; name: string }[] = [];

  contents(root: string): ZipContent[] {
    return this.#contents.map(({ tensor, name }, i) => ({ name: `${root}/data/${i}`, content: tensor, tensorName: name }));
  }

  entry(name: string, value: () => void): void {
    this.pickle.text(name);
    value();
  }

  /** Tensors that are one object share a storage, as tied weights do in torch. */
  #stored(tensor: Tensor, name: string): Stored {
    let stored = this.#storages.get(tensor);
    if (!stored) {
      stored = { key: String(this.#contents.length), count: elementCount(tensor.shape) };
      this.#storages.set(tensor, stored);
      this.#contents.push({ tensor, name });
    }
    return stored;
  }

  #storage(type: string, { key, count }: Stored): void {
    const untyped = type === 'UntypedStorage';
    this.pickle.tuple(() => this.pickle.text('storage').global(untyped ? 'torch.storage' : 'torch', type).text(key).text('cpu').int(count)).sign('Q');
  }

  tensor(tensor: Tensor, name: string): void {
    if (tensor.kind === 'string' || tensor.kind === 'sparse') throw unknownType(name, tensor.kind === 'sparse' ? 'sparse' : tensor.dtype);
    const { pickle } = this;
    const type = storageNames.get(tensor.dtype);
    const dtype = dtypeNames.get(tensor.dtype);
    if (type === undefined && dtype === undefined) throw unknownType(name, tensor.dtype);
    const stored = this.#stored(tensor, name);
    // Types younger than torch's storage classes stand in bytes, with their dtype beside them.
    pickle.global('torch._utils', type === undefined ? '_rebuild_tensor_v3' : '_rebuild_tensor_v2').tuple(() => {
      this.#storage(type ?? 'UntypedStorage', type === undefined ? { ...stored, count: tensor.byteLength } : stored);
      pickle.int(0).ints(tensor.shape).ints(stridesOf(tensor.shape)).bool(false).orderedDict();
      if (type === undefined) pickle.global('torch', dtype!);
    }).sign('R');
  }

  /** torch._utils._rebuild_qtensor with a scale and a zero point per index of the first axis. */
  quantized({ values, scales, zeroPoints }: Rounded, name: string): void {
    const { pickle } = this;
    const stored = this.#stored(values, name);
    pickle.global('torch._utils', '_rebuild_qtensor').tuple(() => {
      this.#storage('QInt8Storage', stored);
      pickle.int(0).ints(values.shape).ints(stridesOf(values.shape));
      pickle.tuple(() => {
        pickle.global('torch', 'per_channel_affine');
        this.tensor(lazy.cast(scales, 'float64'), name);
        this.tensor(zeroPoints, name);
        pickle.int(0);
      });
      pickle.bool(false).orderedDict();
    }).sign('R');
  }
}

/** Storage classes by the type they hold. */
const storageNames = new Map<DType, string>(Object.entries(storageTypes).flatMap(([name, { dtype, quantized }]) => (quantized ? [] : [[dtype, name]])));
/** The first name of each type: the others are its aliases. */
const dtypeNames = new Map<DType, string>(Object.entries(torchDtypes).reverse().map(([name, dtype]) => [dtype, name]));

function unknownType(name: string, dtype: string): PenjingError {
  return new PenjingError('E_DTYPE', `${name} is ${dtype}, which a .pth file of a state dict does not hold`, { hint: 'Cast the tensor first, or save as safetensors or ONNX.' });
}
