/** Runs converted programs on recorded inputs and compares with what PyTorch computed. */
import { type DenseTensor, type DType, type Engine, memorySource, type Model, PenjingError, toDense } from '@penjing/core';
import { openPt2, openSafetensors } from '@penjing/graph-io';

export interface Recorded {
  readonly inputs: readonly DenseTensor[];
  readonly outputs: readonly DenseTensor[];
}

/** `input_0`, `input_1` … and `output_0` … of a safetensors file. */
export async function recordedOf(bytes: Uint8Array): Promise<Recorded> {
  const { tensors } = await openSafetensors(memorySource(bytes));
  const list = async (prefix: string): Promise<DenseTensor[]> => {
    const out: DenseTensor[] = [];
    for (let i = 0; tensors.has(`${prefix}_${i}`); i++) out.push(await toDense(tensors.get(`${prefix}_${i}`)!));
    return out;
  };
  return { inputs: await list('input'), outputs: await list('output') };
}

export interface Outcome {
  readonly model: Model;
  /** Largest difference, relative where values are larger than 1. */
  readonly error: number;
}

/** Throws what conversion and engine throw, and an `Error` when a shape or element type is not PyTorch's. */
export async function runProgram(engine: Engine, program: Uint8Array, recorded: Recorded): Promise<Outcome> {
  const model = await openPt2(memorySource(program));
  return { model, error: await runModel(engine, model, recorded) };
}

export async function runModel(engine: Engine, model: Model, { inputs, outputs }: Recorded): Promise<number> {
  await using executor = await engine.load(model);
  const { inputs: ports } = model.graph;
  if (ports.length !== inputs.length) throw new Error(`${ports.length} inputs, ${inputs.length} recorded`);
  const results = await executor.run(Object.fromEntries(ports.map(({ name }, i) => [name, inputs[i]!])));
  const names = model.graph.outputs.map(({ name }) => name);
  if (names.length !== outputs.length) throw new Error(`${names.length} outputs, ${outputs.length} recorded`);
  return Math.max(0, ...names.map((name, i) => difference(results[name] as DenseTensor, outputs[i]!, name)));
}

function difference(own: DenseTensor, wanted: DenseTensor, name: string): number {
  const says = (tensor: { dtype: DType; shape: readonly number[] }): string => `${tensor.dtype} [${tensor.shape.join(', ')}]`;
  if (says(own) !== says(wanted)) throw new Error(`${name} is ${says(own)}, not ${says(wanted)}`);
  let largest = 0;
  const [a, b] = [own.data, wanted.data];
  for (let i = 0; i < b.length; i++) {
    const [x, y] = [Number(a[i]), Number(b[i])];
    if (Object.is(x, y) || x === y) continue;
    const error = Math.abs(x - y) / Math.max(1, Math.abs(y));
    largest = Number.isNaN(error) ? Infinity : Math.max(largest, error);
  }
  return largest;
}

/** One line for a failure. */
export function reason(error: unknown): string {
  if (error instanceof PenjingError || error instanceof Error) return error.message.split('\n')[0]!.slice(0, 300);
  return String(error);
}
