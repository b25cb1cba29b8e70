/** One forward pass: inputs from the command line or from files, outputs as values or .npy files. */
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type DenseTensor, denseOf, type DType, dtypes, formatType, PenjingError, type StringTensor, type ValueInfo } from '@penjing/core';
import { readNpy, writeNpy } from '@penjing/graph-io';
import type { Device } from '@penjing/runtime';
import { loadRuntime } from './load-runtime.js';
import { nestedNumbers } from './parallel/nested-numbers.js';
import { openAsPlanned } from './parallel/open-as-planned.js';
import { openPlannedStages, type OpenPlannedStagesOptions } from './parallel/remote-stages.js';

export interface RunModelOptions {
  /** `name=JSON` or `name=@file` (.npy, or JSON). */
  readonly inputs?: readonly string[];
  /** `name=2,3` for inputs that are not given. */
  readonly shapes?: readonly string[];
  /** Folder for NAME.npy of each output. */
  readonly output?: string | undefined;
  readonly force?: boolean;
  /** As `SessionOptions.device`. */
  readonly device?: Device | undefined;
  readonly threads?: number | undefined;
  /** Path of a plan (`penjing plan`): the model runs as its layout says. */
  readonly plan?: string | undefined;
  readonly seed?: number | undefined;
  /** Runs on the stages of a plan, on other machines, instead of here; `device` and `threads` are theirs. */
  readonly stages?: Omit<OpenPlannedStagesOptions, 'signal'> | undefined;
  readonly signal?: AbortSignal;
}

export interface RunOutput {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** The first values, in row-major order. */
  readonly values: readonly (number | string)[];
  readonly truncated: boolean;
}

export interface RunModelResult {
  readonly outputs: readonly RunOutput[];
  readonly milliseconds: number;
  readonly files: readonly string[];
}

const SHOWN_VALUES = 1000;
// Random inputs pass through a list of numbers; more would take gigabytes.
const MAX_RANDOM_ELEMENTS = 2 ** 26;

/** Throws `E_INPUT` naming an input that is unknown, missing a type, or of the wrong shape. */
export async function runModel(path: string, options: RunModelOptions = {}): Promise<RunModelResult> {
  const { randomFeeds } = await loadRuntime();
  const { output, signal, device, threads, plan, seed } = options;
  if (output !== undefined && !options.force && (await exists(output))) {
    throw new PenjingError('E_EXISTS', `${output} exists already`, { hint: 'Choose another folder, or give --force.' });
  }
  // What can be wrong without the model is found before it is loaded.
  const assigned = (options.inputs ?? []).map((text) => splitAssignment(text, '--input'));
  const shaped = (options.shapes ?? []).map((text) => ({ ...splitAssignment(text, '--shape'), text })).map(({ name, value, text }) => ({ name, shape: readShape(value, text) }));
  await using executor = options.stages ? await openPlannedStages({ ...options.stages, signal }) : await openAsPlanned(path, { device, threads, plan, signal });
  const given: Record<string, DenseTensor | StringTensor> = {};
  for (const { name, value } of assigned) given[name] = await readInput(infoOf(executor.inputs, name), value);
  const shapes = Object.fromEntries(shaped.map(({ name, shape }) => [infoOf(executor.inputs, name).name, shape]));
  const rest = executor.inputs.filter(({ name }) => given[name] === undefined);
  const feeds = { ...randomFeeds(rest, { shapes, seed: seed ?? 0 }), ...given };
  const started = performance.now();
  const fetched = await executor.run(feeds, { signal });
  const milliseconds = performance.now() - started;
  const results = Object.entries(fetched);
  const files = output === undefined ? [] : await writeOutputs(output, results);
  return { outputs: results.map(([name, tensor]) => describe(name, tensor)), milliseconds, files };
}

function splitAssignment(text: string, option: string): { name: string; value: string } {
  const at = text.indexOf('=');
  if (at <= 0) throw new PenjingError('E_OPTION', `${option} ${text} is not of the form name=value`);
  return { name: text.slice(0, at), value: text.slice(at + 1) };
}

function readShape(value: string, text: string): number[] {
  const dims = value.trim() === '' ? [] : value.split(',').map(Number);
  const elements = dims.reduce((product, dim) => product * dim, 1);
  if (!dims.every((dim) => Number.isSafeInteger(dim) && dim >= 0) || elements > MAX_RANDOM_ELEMENTS) {
    throw new PenjingError('E_OPTION', `--shape ${text} is no shape of at most ${MAX_RANDOM_ELEMENTS} elements`, { hint: 'For example --shape x=1,3,224,224.' });
  }
  return dims;
}

function infoOf(inputs: readonly ValueInfo[], name: string): ValueInfo {
  const found = inputs.find((input) => input.name === name);
  if (found) return found;
  const known = inputs.map((input) => `${input.name}: ${formatType(input.type)}`).join(', ');
  throw new PenjingError('E_INPUT', `the model has no input ${name}`, { hint: `Its inputs: ${known || 'none'}.` });
}

async function readInput({ name, type }: ValueInfo, value: string): Promise<DenseTensor> {
  const wanted = (type.kind === 'tensor' ? type.dtype : undefined) ?? 'float32';
  let text = value;
  if (value.startsWith('@')) {
    const bytes = await readFile(value.slice(1)).catch((cause: unknown) => {
      throw new PenjingError('E_NOT_FOUND', `${value.slice(1)} cannot be read`, { cause });
    });
    if (bytes[0] === 0x93) return readNpy(bytes);
    text = bytes.toString('utf8');
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw new PenjingError('E_INPUT', `input ${name} is not JSON`, { cause, hint: `Write --input '${name}=[[1, 2]]', or ${name}=@file.npy.` });
  }
  const { shape, values } = nestedNumbers(parsed, `input ${name}`);
  if (dtypes[wanted].kind === 'float' && dtypes[wanted].bits < 32) {
    throw new PenjingError('E_INPUT', `input ${name} is ${wanted}: give it as a .npy file`);
  }
  if (dtypes[wanted].array.startsWith('Big') && !values.every(Number.isSafeInteger)) {
    throw new PenjingError('E_INPUT', `input ${name} is ${wanted}, and not every number given is a whole one`);
  }
  return denseOf(wanted, shape, values);
}

async function writeOutputs(folder: string, results: readonly (readonly [string, DenseTensor | StringTensor])[]): Promise<string[]> {
  await mkdir(folder, { recursive: true });
  const files: string[] = [];
  for (const [name, tensor] of results) {
    if (tensor.kind !== 'dense') continue;
    const file = join(folder, `${name.replace(/[^\w.-]/g, '_')}.npy`);
    await writeFile(file, writeNpy(tensor));
    files.push(file);
  }
  return files;
}

function describe(name: string, tensor: DenseTensor | StringTensor): RunOutput {
  const values =
    tensor.kind === 'dense'
      ? Array.from(tensor.data.subarray(0, SHOWN_VALUES) as ArrayLike<number | bigint>, Number)
      : tensor.values.slice(0, SHOWN_VALUES).map((bytes) => new TextDecoder().decode(bytes));
  const count = tensor.kind === 'dense' ? tensor.data.length : tensor.values.length;
  return { name, dtype: tensor.dtype, shape: tensor.shape, values, truncated: count > values.length };
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(() => true, () => false);
}
