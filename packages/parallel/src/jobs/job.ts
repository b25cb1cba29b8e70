/** A job of a fleet: the name of a handler and what it is told, never the data it works on. */
import { PenjingError, sha256 } from '@penjing/core';

export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

/** References only: paths under shared roots, ranges, hashes. Workers run the handlers they were started with, by name. */
export interface JobSpec {
  readonly handler: string;
  readonly spec: Json;
}

/** Why a delivery of a job gave no result, as plain data. */
export interface JobFailure {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
}

/** What became of a job, decided once. */
export type Outcome =
  | { readonly id: string; readonly state: 'done'; readonly result: Json }
  | { readonly id: string; readonly state: 'dead'; readonly failure: JobFailure; readonly deliveries: number };

/** Brokers hold messages in memory; data goes by reference. */
export const MOST_JOB_BYTES = 64 * 1024;
/** Of a run, in characters: it is part of subjects and keys. */
const MOST_RUN = 64;

/** The same handler and spec have the same id, so that publishing twice is one job. Throws `E_LIMIT` for one that is too large. */
export async function jobId(job: JobSpec): Promise<string> {
  const text = canonical({ handler: job.handler, spec: job.spec });
  checkSize(text, `a job for ${job.handler}`, 'Put the data into a file that workers can read, and name it in the job.');
  return (await sha256(text)).slice(0, 32);
}

/** Throws `E_LIMIT` for a result that is more than a reference. */
export function checkResult(result: Json): void {
  checkSize(JSON.stringify(result), 'the result of a job', 'Write it into a file and give its name and hash.');
}

/** Throws `E_OPTION` for what cannot be part of a subject. */
export function checkRun(run: string): void {
  if (run.length > MOST_RUN || !/^[A-Za-z0-9_-]+$/.test(run)) throw new PenjingError('E_OPTION', `${JSON.stringify(run)} is no name of a run`, { hint: `Use at most ${MOST_RUN} letters, digits, - and _.` });
}

function checkSize(text: string, what: string, hint: string): void {
  const bytes = new TextEncoder().encode(text).byteLength;
  if (bytes > MOST_JOB_BYTES) throw new PenjingError('E_LIMIT', `${what} takes ${bytes} bytes, at most ${MOST_JOB_BYTES} are sent`, { hint });
}

/** JSON with the fields of every object in order of their names. */
function canonical(value: Json): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if (isList(value)) return `[${value.map(canonical).join(',')}]`;
  return `{${Object.keys(value).sort().map((name) => `${JSON.stringify(name)}:${canonical(value[name] as Json)}`).join(',')}}`;
}

const isList = (value: Json): value is readonly Json[] => Array.isArray(value);

/** Any error as plain data. */
export function failureOf(error: unknown): JobFailure {
  if (!(error instanceof Error)) return { code: 'E_INTERNAL', message: String(error) };
  const { code, hint } = error as { code?: unknown; hint?: unknown };
  return { code: typeof code === 'string' ? code : 'E_INTERNAL', message: error.message, ...(typeof hint === 'string' && { hint }) };
}
