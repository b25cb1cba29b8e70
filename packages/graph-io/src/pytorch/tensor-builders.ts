/** The functions by which torch's pickles describe tensors, each turned into a record of what it would make. */
import { PenjingError } from '@penjing/core';
import { pickleLimits } from '../limits.js';
import { torchDtypes } from './torch-types.js';
import { describe, isKind, itemsOf, numbersOf, PyObject, PyTensor, type PyValue, type Quantizer, type StorageType } from './values.js';

type Builder = (args: readonly PyValue[]) => PyValue;

/** torch._utils._rebuild_tensor(storage, offset, size, stride) and its later versions. */
const strided: Builder = ([storage, offset, size, strides]) => {
  if (!isKind(storage, 'storage')) throw malformed(`a tensor of ${describe(storage)}`);
  return stridedOf(storage, storage.type, offset, size, strides);
};

/** torch._utils._rebuild_tensor_v3(storage, offset, size, stride, requires_grad, hooks, dtype, metadata): storages without type. */
const stridedOfDtype: Builder = ([storage, offset, size, strides, , , type]) => {
  const name = isKind(type, 'global') ? type.name.replace(/^torch\./, '') : '';
  const dtype = torchDtypes[name];
  if (dtype === undefined) throw unknownDtype(describe(type));
  return stridedOf(storage, { dtype }, offset, size, strides);
};

/** torch._utils._rebuild_qtensor(storage, offset, size, stride, quantizer, requires_grad, hooks). */
const quantized: Builder = ([storage, offset, size, strides, quantizer]) => {
  if (!isKind(storage, 'storage')) throw malformed(`a quantized tensor of ${describe(storage)}`);
  const tensor = stridedOf(storage, storage.type, offset, size, strides);
  return new PyTensor(tensor.source, tensor.dtype, tensor.shape, quantizerOf(quantizer, tensor.shape));
};

function quantizerOf(value: PyValue | undefined, shape: readonly number[]): Quantizer {
  const [scheme, scale, zeroPoint, axis] = itemsOf(value) ?? [];
  const name = isKind(scheme, 'global') ? scheme.name : describe(scheme);
  if (name === 'torch.per_tensor_affine' && typeof scale === 'number' && typeof zeroPoint === 'number') return { kind: 'tensor', scale, zeroPoint };
  const perChannel = name === 'torch.per_channel_affine' && isKind(scale, 'tensor') && isKind(zeroPoint, 'tensor') && typeof axis === 'number';
  if (!perChannel) throw new PenjingError('E_DTYPE', `a tensor is quantized by ${name}, which is not read`, { hint: 'Only per_tensor_affine and per_channel_affine are; dequantize it first.' });
  const count = shape[axis];
  const fits = count !== undefined && [scale, zeroPoint].every((one) => one.shape.length === 1 && one.shape[0] === count);
  if (!fits) throw malformed(`a quantized tensor [${shape.join(', ')}] with [${scale.shape.join(', ')}] scales along axis ${axis}`);
  return { kind: 'channel', scales: scale, zeroPoints: zeroPoint, axis };
}

function stridedOf(storage: PyValue | undefined, type: StorageType | undefined, offset: PyValue | undefined, size: PyValue | undefined, stride: PyValue | undefined): PyTensor {
  if (!isKind(storage, 'storage')) throw malformed(`a tensor of ${describe(storage)}`);
  if (!type) throw malformed('a tensor of bytes without a type');
  const shape = numbersOf(size);
  const strides = numbersOf(stride);
  const isSize = (value: unknown): value is number => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
  if (!isSize(offset) || !shape?.every(isSize) || !strides?.every(isSize) || shape.length !== strides.length) {
    throw malformed(`a tensor of size ${describe(size)}, stride ${describe(stride)} and offset ${describe(offset)} that are no such numbers`);
  }
  if (shape.length > pickleLimits.rank) {
    throw new PenjingError('E_LIMIT', `a tensor has ${shape.length} dimensions, at most ${pickleLimits.rank} are read`);
  }
  return new PyTensor({ kind: 'strided', storage, offset, strides }, type.dtype, shape);
}

/** torch._utils._rebuild_sparse_tensor(layout, (indices, values, size, …)): coordinates only. */
const sparse: Builder = ([layout, data]) => {
  const name = isKind(layout, 'object') && typeof layout.args[0] === 'string' ? layout.args[0] : describe(layout);
  const [indices, values, size] = itemsOf(data) ?? [];
  if (name !== 'torch.sparse_coo') throw new PenjingError('E_DTYPE', `a tensor is laid out as ${name}, which is not read`, { hint: 'Call .to_dense() on it before saving.' });
  const shape = numbersOf(size);
  if (!isKind(indices, 'tensor') || !isKind(values, 'tensor') || !shape) throw malformed('a sparse tensor without indices, values and size');
  if (values.shape.length !== 1 || indices.shape.length !== 2 || indices.shape[0] !== shape.length || indices.shape[1] !== values.shape[0]) {
    throw new PenjingError('E_DTYPE', `a sparse tensor [${shape.join(', ')}] has values of shape [${values.shape.join(', ')}], which is not read`, { hint: 'Call .to_dense() on it before saving.' });
  }
  return new PyTensor({ kind: 'sparse', indices, values }, values.dtype, shape);
};

const withoutData = (what: string): Builder => () => {
  throw new PenjingError('E_DTYPE', `the file holds ${what}, which has no values that can be read`, { hint: 'Save plain tensors: {k: v.detach().cpu() for k, v in model.state_dict().items()}.' });
};

/** What comes first is the tensor; flags, hooks and attributes do not matter. */
const first: Builder = ([data]) => {
  if (!isKind(data, 'tensor')) throw malformed(`a parameter of ${describe(data)}`);
  return data;
};

/** By full name. */
export const tensorBuilders: Readonly<Record<string, Builder>> = {
  'torch._utils._rebuild_tensor': strided,
  'torch._utils._rebuild_tensor_v2': strided,
  'torch._utils._rebuild_tensor_v3': stridedOfDtype,
  'torch._utils._rebuild_qtensor': quantized,
  'torch._utils._rebuild_parameter': first,
  'torch._utils._rebuild_parameter_with_state': first,
  'torch.nn.parameter.Parameter': first,
  'torch.nn.parameter.Buffer': first,
  'torch.Tensor': first,
  'torch._utils._rebuild_sparse_tensor': sparse,
  'torch._utils._rebuild_sparse_csr_tensor': () => sparse([new PyObject('', ['torch.sparse_csr'])]),
  'torch._utils._rebuild_meta_tensor_no_storage': withoutData('a meta tensor'),
  'torch._utils._rebuild_nested_tensor': withoutData('a nested tensor'),
  'torch._utils._rebuild_wrapper_subclass': withoutData('a wrapped tensor'),
  'torch.distributed.tensor._api._rebuild_dtensor': withoutData('a part of a distributed tensor'),
};

export function malformed(what: string): PenjingError {
  return new PenjingError('E_PICKLE', `the file describes ${what}`, { hint: 'Download or save the file again.' });
}

export function unknownDtype(name: string): PenjingError {
  return new PenjingError('E_DTYPE', `a tensor has the element type ${name}, which is not known`, { hint: 'Convert it before saving, for example with .float().' });
}

