/**
 * What `peers/fixtures/tflite_codes.py` recorded of single computations of quantized networks on LiteRT: how far its codes are from those that
 * ONNX Runtime computes from the same codes. Accumulated differences are left out that way: every computation starts from the codes of ONNX Runtime.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type DenseTensor, denseOf, type Feeds, type Model, type Tensor } from '@penjing/core';
import { layoutToBytes, safetensorsLayout } from '@penjing/graph-io';
import { qdqUnits } from './qdq-units.js';
import { convert, onnxRuntime } from './tflite-peer.js';

/** Sets of kernels of LiteRT: its reference ones, its optimized ones, and XNNPACK. */
export const kernelSets = ['reference', 'builtin', 'xnnpack'] as const;

/** Share of the values within one quantum, share that is equal, and the largest distance in quanta. */
export type Distance = readonly [within: number, equal: number, worst: number];

export interface RecordedUnit {
  readonly digest: string;
  readonly values: number;
  readonly distances: Readonly<Record<(typeof kernelSets)[number], Distance>>;
}

const path = fileURLToPath(new URL('../fixtures/tflite/codes.json', import.meta.url));

export const recordedUnits: Readonly<Record<string, Readonly<Record<string, RecordedUnit>>>> = existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Record<string, Record<string, RecordedUnit>>) : {};

export interface UnitFile {
  readonly name: string;
  readonly operators: readonly string[];
  readonly bytes: Uint8Array;
  readonly digest: string;
  readonly feeds: Readonly<Record<string, DenseTensor>>;
  readonly expected: Readonly<Record<string, DenseTensor>>;
  /** Quantum of outputs that are numbers, by name. */
  readonly quanta: Readonly<Record<string, number>>;
}

/** What ONNX Runtime makes of the last of the computations when codes are edited on the way. */
export async function editedOutput(model: Model, feeds: Feeds, edit: (name: string, codes: DenseTensor) => void): Promise<DenseTensor> {
  const known = new Map<string, DenseTensor>(Object.entries(feeds) as [string, DenseTensor][]);
  let last: DenseTensor | undefined;
  for (const { output, inputs, model: unit } of qdqUnits(model)) {
    last = (await onnxRuntime(unit, Object.fromEntries(inputs.map((name) => [name, known.get(name)!]))))[output]!;
    edit(output, last);
    known.set(output, last);
  }
  return last!;
}

/** Every computation of a quantized model as a TFLite file with the codes ONNX Runtime has there, and last the whole model, as `network`. */
export async function* unitFiles(model: Model, feeds: Feeds): AsyncGenerator<UnitFile> {
  const known = new Map<string, DenseTensor>(Object.entries(feeds) as [string, DenseTensor][]);
  for (const { output, inputs, operators, model: unit } of qdqUnits(model)) {
    const own = Object.fromEntries(inputs.map((name) => [name, known.get(name)!]));
    const expected = (await onnxRuntime(unit, own))[output]!;
    known.set(output, expected);
    if (operators.length === 0) continue;
    const bytes = await convert(unit);
    yield { name: output, operators, bytes, digest: digestOf(bytes), feeds: own, expected: { [output]: expected }, quanta: quantaOf(unit) };
  }
  const whole = await convert(model);
  yield { name: 'network', operators: ['network'], bytes: whole, digest: digestOf(whole), feeds: feeds as Record<string, DenseTensor>, expected: await onnxRuntime(model, feeds), quanta: quantaOf(model) };
}

/** Scales of the outputs that are dequantized codes. */
function quantaOf({ graph }: Model): Record<string, number> {
  return Object.fromEntries(graph.outputs.flatMap(({ name, producer }) => (producer?.opType === 'DequantizeLinear' ? [[name, Number((producer.input(1)!.tensor as DenseTensor).data[0])]] : [])));
}

const digestOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex').slice(0, 16);

/** Where files go to be judged: see peers/README.md. */
export const recordingCodes = process.env['PENJING_RECORD_TFLITE'];

export async function record(network: string, { name, bytes, feeds, expected, quanta }: UnitFile): Promise<void> {
  const folder = join(recordingCodes!, 'codes', network);
  mkdirSync(folder, { recursive: true });
  const file = join(folder, encodeURIComponent(name));
  writeFileSync(`${file}.tflite`, bytes);
  const tensors = new Map<string, Tensor>(Object.entries(feeds).map(([key, tensor]) => [`in.${key}`, tensor]));
  for (const [key, tensor] of Object.entries(expected)) tensors.set(`out.${key}`, tensor);
  for (const [key, quantum] of Object.entries(quanta)) tensors.set(`quantum.${key}`, denseOf('float32', [], [quantum]));
  const [layout] = safetensorsLayout({ format: 'safetensors', tensors, metadata: new Map() } as unknown as Parameters<typeof safetensorsLayout>[0]);
  writeFileSync(`${file}.safetensors`, await layoutToBytes(layout!));
}
