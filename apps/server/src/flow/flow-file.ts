/** A file that makes several models one: which of them reads what, and what a request gets back. */
import { readFile, stat } from 'node:fs/promises';
import { dirname, extname, join, resolve } from 'node:path';
import { PenjingError } from '@penjing/core';
import { z } from 'zod';
import { issuesOf } from '../config/read-config.js';

export const FLOW_FILE = 'flow.json';
/** Some names and paths for each step. */
const MAX_BYTES = 2 ** 20;

const name = z.string().min(1).max(1024);
const names = z.record(name, name);

const stepSchema = z.strictObject({
  /** For messages; `step 1` and so on when absent. */
  name: name.optional(),
  /** A model folder or an ONNX file; paths begin at the folder of this file. */
  model: name.optional(),
  /** Several with the same inputs and outputs: of what they say, the mean, the sum, or one behind the other along the last axis. */
  models: z.array(name).min(2).max(64).optional(),
  reduction: z.enum(['mean', 'sum', 'concat']).optional(),
  /** Which file of the folders. */
  variant: z.string().regex(/^[A-Za-z0-9_]{1,64}$/).optional(),
  /** Of each model; a share of those of the whole when absent. */
  threads: z.int().min(1).max(1024).optional(),
  /** Names of the model's inputs and outputs to names of values of the flow; the same where none is given. */
  inputs: names.optional(),
  outputs: names.optional(),
}).refine(({ model, models, reduction }) => (model !== undefined ? models === undefined && reduction === undefined : models !== undefined && reduction !== undefined), 'a step has a model, or models and a reduction');

const flowSchema = z.strictObject({
  steps: z.array(stepSchema).min(1).max(64),
  /** Values that a request gets back. */
  outputs: z.array(name).min(1).max(1024),
  /** Requests under way at a time; twice the steps when absent. */
  inFlight: z.int().min(1).max(4096).optional(),
});

export type FlowStep = z.output<typeof stepSchema>;
export type Flow = z.output<typeof flowSchema>;

/** The file, where a path is that of a flow: itself, or in the folder that it names. */
export async function flowFileAt(path: string): Promise<string | undefined> {
  if (extname(path) === '.json') return path;
  const inside = join(path, FLOW_FILE);
  return stat(inside).then((info) => (info.isFile() ? inside : undefined), () => undefined);
}

/** Its paths are absolute. Throws `E_NOT_FOUND` and `E_CONFIG`. */
export async function readFlow(file: string): Promise<Flow> {
  const unreadable = (cause: unknown): never => {
    throw new PenjingError('E_NOT_FOUND', `the flow ${file} cannot be read`, { cause });
  };
  // Before it is read: a listing of a repository reads all of them.
  const { size } = await stat(file).catch(unreadable);
  if (size > MAX_BYTES) throw new PenjingError('E_CONFIG', `the flow ${file} is larger than ${MAX_BYTES} bytes`);
  const text = await readFile(file, 'utf8').catch(unreadable);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new PenjingError('E_CONFIG', `the flow ${file} is not JSON`, { cause });
  }
  const parsed = flowSchema.safeParse(value);
  if (!parsed.success) throw new PenjingError('E_CONFIG', `the flow ${file} is wrong: ${issuesOf(parsed.error)}`);
  const absolute = (path: string): string => resolve(dirname(file), path);
  return { ...parsed.data, steps: parsed.data.steps.map((step) => ({ ...step, ...(step.model !== undefined && { model: absolute(step.model) }), ...(step.models && { models: step.models.map(absolute) }) })) };
}

export const modelsOf = ({ model, models = [] }: FlowStep): readonly string[] => (model === undefined ? models : [model]);
