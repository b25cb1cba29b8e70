/** Any ONNX model: tensors in, tensors out. */
import { decodeText, DenseTensor, encodeText, type Executor, PenjingError, StringTensor } from '@penjing/core';
import { ortEngine } from '@penjing/runtime';
import type { Handler, KindOpener, KindSettings, OpenedKind } from '../model-kind.js';
import type { WireTensor } from '../protocol.js';

export const openTensors: KindOpener = async ({ file }, settings): Promise<OpenedKind> => {
  const executor = await openExecutor(file, settings);
  return { handlers: { infer: inferWith(async () => executor) }, close: async () => executor[Symbol.asyncDispose]() };
};

export async function openExecutor(file: string, { threads, device, plan, thread, signal }: KindSettings): Promise<Executor> {
  if (plan !== undefined) {
    // what few models need is loaded for them
    const { openAsPlanned } = await import('@penjing/recipe');
    return openAsPlanned(file, { plan, device, threads, signal });
  }
  return ortEngine().loadFile(file, { thread, signal, ...(threads !== undefined && { threads }), ...(device !== undefined && { device }) });
}

/** `executor` is asked for at each call, so that a session can be opened with the first. */
export function inferWith(executor: () => Promise<Executor>): Handler<'infer'> {
  return async ({ inputs, outputs }, { signal }) => {
    const session = await executor();
    const feeds = Object.fromEntries(Object.entries(inputs).map(([name, tensor]) => [name, fromWire(name, tensor)]));
    const started = performance.now();
    const fetched = await session.run(feeds, { signal, ...(outputs && { outputs }) });
    const computeMs = performance.now() - started;
    return { outputs: Object.fromEntries(Object.entries(fetched).map(([name, tensor]) => [name, toWire(tensor)])), computeMs };
  };
}

function fromWire(name: string, { dtype, shape, data }: WireTensor): DenseTensor | StringTensor {
  if (!(data instanceof ArrayBuffer)) return new StringTensor(shape, data.map((text) => encodeText(text)));
  try {
    return new DenseTensor(dtype, shape, new Uint8Array(data));
  } catch (cause) {
    throw new PenjingError('E_INPUT', `input ${name}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

function toWire(tensor: DenseTensor | StringTensor): WireTensor {
  const { dtype, shape } = tensor;
  if (tensor.kind === 'string') return { dtype, shape, data: tensor.values.map((bytes) => decodeText(bytes)) };
  const { buffer, byteOffset, byteLength } = tensor.bytes;
  const whole = byteOffset === 0 && byteLength === buffer.byteLength;
  return { dtype, shape, data: (whole ? buffer : buffer.slice(byteOffset, byteOffset + byteLength)) as ArrayBuffer };
}
