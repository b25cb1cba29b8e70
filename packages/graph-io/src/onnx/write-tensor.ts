/** Tensor to TensorProto: small bytes inside, larger ones as holes or in the external data file. */
import { type DenseTensor, dtypes, type LazyTensor, type SourceExpr, type SparseTensor, type StringTensor, type Tensor } from '@penjing/core';
import { EXTERNAL_ALIGNMENT, EXTERNAL_MIN_INTEGER_LIST_BYTES, INLINE_PIECE_BYTES } from '../limits.js';
import type { FileLayout, LayoutPiece } from '../layout.js';
import { labelOf } from './labels.js';
import type { SparseTensorProto, TensorProto } from './schema.js';

/** Where tensors stand outside of the model file. */
export interface ExternalPlaces {
  /** Smaller tensors stay inside. */
  readonly minBytes: number;
  /** File, as the model sees it beside itself, and first byte; undefined keeps the tensor inside. */
  place(name: string, tensor: Tensor): { readonly location: string; readonly offset: number } | undefined;
}

/** Files that are there already: tensors that are plain ranges of them are pointed at where they are. */
export function existingPlaces(locationOf: (uri: string) => string | undefined, minBytes: number): ExternalPlaces {
  return {
    minBytes,
    place(_name, tensor) {
      const expr = tensor.kind === 'lazy' ? (tensor as LazyTensor).expr : undefined;
      const location = expr?.op === 'source' ? locationOf(expr.source) : undefined;
      return location === undefined ? undefined : { location, offset: (expr as SourceExpr).offset };
    },
  };
}

/** The external data file while it is planned. */
export class ExternalFile implements ExternalPlaces {
  readonly #pieces: LayoutPiece[] = [];
  readonly #placed = new Map<unknown, number>();
  #size = 0;

  /** `location` is the name of the file as the model sees it, beside itself. */
  constructor(readonly location: string, readonly minBytes: number) {}

  /** A tensor that is stored already is not stored again. */
  place(name: string, tensor: Tensor): { readonly location: string; readonly offset: number } {
    const { location } = this;
    const key = identity(tensor);
    const known = this.#placed.get(key);
    if (known !== undefined) return { location, offset: known };
    const offset = Math.ceil(this.#size / EXTERNAL_ALIGNMENT) * EXTERNAL_ALIGNMENT;
    this.#pieces.push({ kind: 'tensor', offset, name, tensor });
    this.#placed.set(key, offset);
    this.#size = offset + tensor.byteLength;
    return { location, offset };
  }

  /** Undefined when nothing was placed. `folder` ends with a slash, or is empty. */
  layout(folder: string): FileLayout | undefined {
    if (this.#pieces.length === 0) return undefined;
    return { name: folder + this.location, size: this.#size, pieces: this.#pieces };
  }
}

/** The same object, or the same range of a source, holds the same bytes. */
function identity(tensor: Tensor): unknown {
  if (tensor.kind !== 'lazy') return tensor;
  const { expr } = tensor as LazyTensor;
  return expr.op === 'source' ? `${expr.source}\0${expr.offset}\0${tensor.byteLength}` : expr;
}

/** `name` is stored; `external` is where large tensors go, undefined to keep them inside. */
export function writeTensor(tensor: Tensor, name: string, external: ExternalPlaces | undefined): TensorProto {
  const { doc, metadata, extra } = labelOf(tensor);
  const head: TensorProto = {
    ...(tensor.shape.length > 0 && { dims: [...tensor.shape] }),
    dataType: dtypes[tensor.dtype].onnx,
    ...(name !== '' && { name }),
    ...(doc && { doc }),
    ...(metadata && { metadata }),
    ...(extra && { extra }),
  };
  if (tensor.kind === 'string') return { ...head, stringData: [...(tensor as StringTensor).values] };
  const length = tensor.byteLength;
  const place = external && length >= external.minBytes && !mayBeShape(tensor) ? external.place(name, tensor) : undefined;
  if (place) {
    const entries = { location: place.location, offset: String(place.offset), length: String(length) };
    return { ...head, externalData: Object.entries(entries).map(([key, value]) => ({ key, value })), dataLocation: 1 };
  }
  if (tensor.kind === 'dense' && length <= INLINE_PIECE_BYTES) {
    return { ...head, rawData: { length, offset: -1, bytes: (tensor as DenseTensor).bytes } };
  }
  return { ...head, rawData: { length, offset: -1, tensor, name } };
}

/** Shape inference may want to read it. */
function mayBeShape({ dtype, shape, byteLength }: Tensor): boolean {
  return (dtype === 'int64' || dtype === 'int32') && shape.length <= 1 && byteLength <= EXTERNAL_MIN_INTEGER_LIST_BYTES;
}

/** Sparse tensors are small and always stand inside. */
export function writeSparseTensor(tensor: SparseTensor, name: string): SparseTensorProto {
  return {
    values: writeTensor(tensor.values, name || (labelOf(tensor.values).name ?? ''), undefined),
    indices: writeTensor(tensor.indices, labelOf(tensor.indices).name ?? '', undefined),
    ...(tensor.shape.length > 0 && { dims: [...tensor.shape] }),
  };
}
