/** Numbers about tensors: sizes, counts, single elements. */
import { elementCount } from '@penjing/core';
import { row, rowsOf } from '../row.js';
import type { SymInt } from '../values.js';
import type { AtenContext } from '../context.js';
import type { Value } from '@penjing/core';

const numel = (c: AtenContext, self: Value): SymInt => {
  const dims = c.dims(self);
  if (dims.every((dim) => typeof dim === 'number')) return elementCount(dims);
  return c.product(c.sizes(self));
};

export const sizes = [
  ...rowsOf({ sym_size: 0, size: 0 }, (name) => row(`${name}.int(Tensor self, int dim)`, (c, { self, dim }) => c.size(self, dim))),
  ...rowsOf({ sym_size: 0, size: 0 }, (name) => row(`${name}.default(Tensor self)`, (c, { self }) => c.sizes(self))),
  row('sym_numel(Tensor self)', (c, { self }) => numel(c, self)),
  row('numel(Tensor self)', (c, { self }) => numel(c, self)),
  row('dim(Tensor self)', (c, { self }) => c.rank(self)),
  row('sym_stride.int(Tensor self, int dim)', (c, { self, dim }) => c.product(c.sizes(self).slice(c.axis(dim, c.rank(self)) + 1))),
  row('sym_storage_offset(Tensor self)', () => 0),
  row('sym_is_contiguous(Tensor self, Ignored memory_format=None)', () => true),
  ...rowsOf({ item: 0, _local_scalar_dense: 0 }, (name) => row(`${name}(Tensor self)`, (c, { self }) => ({ kind: 'sym', value: c.reshape(self, [1]) }))),
];
