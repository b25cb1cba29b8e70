/** The sessions that one worker holds, by handle. */
import { PenjingError } from '@penjing/core';
import type * as ort from 'onnxruntime-node';
import { END_OF_RUN, isEndOfRun } from '../generate/end-of-run.js';
import { engineError } from './engine-error.js';
import type { SessionInfo, SessionSettings, SessionSource, SessionValue } from './wire-types.js';
import { type OrtApi, type OrtSession, type OrtTensor, feedable } from './tensors.js';

/** What native calls go through. */
export interface Gate {
  pass<T>(call: () => Promise<T>): Promise<T>;
}

export class SessionTable {
  readonly api: OrtApi;
  readonly #gate: Gate;
  readonly #sessions = new Map<number, OrtSession>();
  readonly #held = new Map<number, Readonly<Record<string, OrtTensor>>>();
  #next = 1;

  constructor(api: OrtApi, gate: Gate) {
    this.api = api;
    this.#gate = gate;
  }

  async open(source: SessionSource, settings: SessionSettings): Promise<SessionInfo> {
    for (const [i, providers] of settings.attempts.entries()) {
      try {
        const session = await this.#gate.pass(() => this.#create(source, sessionOptions(settings, providers)));
        const handle = this.#next++;
        this.#sessions.set(handle, session);
        return { handle, ...sessionInfo(session) };
      } catch (cause) {
        const error = engineError('the model could not be loaded', cause);
        if (error.code !== 'E_PROVIDER' || i === settings.attempts.length - 1) throw error;
      }
    }
    throw new PenjingError('E_PROVIDER', 'there is no execution provider to load the model with');
  }

  #create(source: SessionSource, options: ort.InferenceSession.SessionOptions): Promise<OrtSession> {
    if (source.kind === 'file') return this.api.InferenceSession.create(source.path, options);
    const externalData = source.externalData.map(({ path, data }) => ({ path, data: new Uint8Array(data) }));
    return this.api.InferenceSession.create(new Uint8Array(source.bytes), { ...options, ...(externalData.length > 0 && { externalData }) });
  }

  get(handle: number): OrtSession {
    const session = this.#sessions.get(handle);
    if (!session) throw new PenjingError('E_DISPOSED', 'this session was disposed');
    return session;
  }

  async run(handle: number, feeds: Record<string, OrtTensor>, outputs: readonly string[]): Promise<Record<string, OrtTensor>> {
    const readable = mapValues(feeds, feedable);
    try {
      const session = this.get(handle);
      return await this.#gate.pass(() => session.run(readable, outputs));
    } catch (error) {
      throw engineError('the run failed', error);
    }
  }

  /** Feeds `runInto` with these as well from now on. */
  hold(handle: number, feeds: Readonly<Record<string, OrtTensor>>): void {
    this.#held.set(handle, feeds);
  }

  /** Runs a model whose first output is the end of the run (`end-of-run.ts`) into tensors of the caller, which are written when this resolves. */
  async runInto(handle: number, feeds: Record<string, OrtTensor>, into: Record<string, OrtTensor>): Promise<void> {
    const session = this.get(handle);
    const fetches = { [END_OF_RUN]: null, ...mapValues(into, feedable) };
    try {
      await this.#gate.pass(() => session.run(mapValues({ ...feeds, ...this.#held.get(handle) }, feedable), fetches));
    } catch (error) {
      if (!isEndOfRun(error)) throw engineError('the run failed', error);
    }
  }

  async close(handle: number): Promise<void> {
    const session = this.#sessions.get(handle);
    this.#sessions.delete(handle);
    this.#held.delete(handle);
    await session?.release();
  }

  async closeAll(): Promise<void> {
    for (const handle of [...this.#sessions.keys()]) await this.close(handle);
  }
}

const mapValues = <A, B>(record: Readonly<Record<string, A>>, map: (value: A) => B): Record<string, B> => Object.fromEntries(Object.entries(record).map(([name, value]) => [name, map(value)]));

function sessionOptions(settings: SessionSettings, providers: readonly string[]): ort.InferenceSession.SessionOptions {
  return {
    executionProviders: [...providers],
    intraOpNumThreads: settings.threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    enableMemPattern: settings.memoryPattern,
    graphOptimizationLevel: settings.optimization === 'none' ? 'disabled' : settings.optimization,
    // Failures are thrown as well; printing them too would put native text on the user's stderr.
    logSeverityLevel: 4,
    extra: {
      ...(settings.prepack ? {} : { 'session.disable_prepacking': '1' }),
      ...(settings.spin ? {} : { 'session.intra_op.allow_spinning': '0' }),
      ...settings.extra,
    },
  };
}

/** What a session says of its inputs and outputs. */
export function sessionInfo(session: OrtSession): Omit<SessionInfo, 'handle'> {
  return { inputs: session.inputMetadata.map(describe), outputs: session.outputMetadata.map(describe) };
}

function describe(meta: ort.InferenceSession.ValueMetadata): SessionValue {
  if (!meta.isTensor) return { name: meta.name };
  return { name: meta.name, dtype: meta.type, shape: meta.shape.map((dim) => (dim === '' ? null : dim)) };
}
