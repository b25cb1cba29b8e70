/** Failures of ONNX Runtime as typed errors; its text is kept, what to do next is added. */
import { PenjingError, isPenjingError } from '@penjing/core';

const known: readonly { readonly match: RegExp; readonly code: `E_${string}`; readonly hint: string }[] = [
  {
    match: /is not a registered function\/op|No Op registered for|NOT_IMPLEMENTED|Could not find an implementation/i,
    code: 'E_UNSUPPORTED',
    hint: 'ONNX Runtime has no kernel for this operator, type or opset; `penjing inspect` lists the operators of the model.',
  },
  {
    match: /bad allocation|bad_alloc|Failed to allocate memory|Available memory/i,
    code: 'E_MEMORY',
    hint: 'Use a smaller input, a quantized variant of the model, or a machine with more memory.',
  },
  {
    match: /WebGPU adapter|webgpu_context/i,
    code: 'E_PROVIDER',
    hint: 'WebGPU found no graphics processor: on Linux it needs a Vulkan driver (libvulkan1 and the one of the vendor). `--device cpu` runs everywhere.',
  },
  {
    match: /ExecutionProvider_(Cuda|CUDA|TensorRT)|providers_(cuda|shared)|\[cuda\]/,
    code: 'E_PROVIDER',
    hint: 'CUDA is a download of its own: `ONNXRUNTIME_NODE_INSTALL=cuda12 npm rebuild onnxruntime-node` on Linux or Windows (x64), beside CUDA 12 and cuDNN 9. `--device cpu` runs everywhere.',
  },
  { match: /\[dml\]/, code: 'E_PROVIDER', hint: 'DirectML is part of Windows; elsewhere take `--device webgpu`, `cuda` or `cpu`.' },
  { match: /\[coreml\]/, code: 'E_PROVIDER', hint: 'CoreML is part of macOS; elsewhere take `--device webgpu`, `cuda` or `cpu`.' },
  {
    match: /backend not found|not supported|available backend/i,
    code: 'E_PROVIDER',
    hint: "Use the provider 'cpu', or install the build of onnxruntime-node that has this one.",
  },
  {
    match: /Unsupported data type/i,
    code: 'E_UNSUPPORTED',
    hint: 'The inputs and outputs of a model run from Node cannot be bfloat16, float8 or 2-bit; add Casts at the border.',
  },
];

/** Wraps whatever ONNX Runtime threw; typed errors pass through. */
export function engineError(what: string, error: unknown): PenjingError {
  if (isPenjingError(error)) return error;
  const text = error instanceof Error ? error.message : String(error);
  const found = known.find(({ match }) => match.test(text));
  return new PenjingError(found?.code ?? 'E_ENGINE', `${what}: ${text.trim()}`, {
    cause: error,
    ...(found ? { hint: found.hint } : {}),
  });
}
