/** A tensor computed on demand from an expression over byte sources. */
import type { ByteSource } from './bytes.js';
import { byteSize, type DType } from './dtype.js';
import { PenjingError } from './errors.js';
import { evaluateRows } from './expr/evaluate-async.js';
import { exprSources, type TensorExpr } from './expr/tensor-expr.js';
import { elementCount, matrixView, type Shape } from './shape.js';
import type { RowRange, Tensor } from './tensor.js';

/** Sources by their key. */
export type SourceMap = ReadonlyMap<string, ByteSource>;

/** A tensor that is an expression. Loading computes on the calling thread: meant for small tensors and tests. */
export class LazyTensor implements Tensor {
  readonly kind = 'lazy';
  readonly expr: TensorExpr;
  readonly sources: SourceMap;

  /** Throws `E_SOURCE` when the expression reads a source that is not in `sources`. */
  constructor(expr: TensorExpr, sources: SourceMap) {
    for (const key of exprSources(expr)) {
      if (!sources.has(key)) throw new PenjingError('E_SOURCE', `no source is known for ${key}`);
    }
    this.expr = expr;
    this.sources = sources;
  }

  get dtype(): DType {
    return this.expr.dtype;
  }

  get shape(): Shape {
    return this.expr.shape;
  }

  get byteLength(): number {
    return byteSize(this.dtype, elementCount(this.shape));
  }

  load(): Promise<Uint8Array> {
    return this.rows({ start: 0, end: matrixView(this.shape).rows });
  }

  rows(range: RowRange): Promise<Uint8Array> {
    return evaluateRows(this.expr, range, (key, offset, length) => this.sources.get(key)!.read(offset, length));
  }
}
