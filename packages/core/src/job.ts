/** Work that must not run on the calling thread: a function of a module, run beside an engine. */
import type { Kernels } from '@penjing/kernels';
import type { DType } from './dtype.js';
import type { Engine, Executor } from './engine.js';
import { PenjingError } from './errors.js';
import type { Model } from './graph/model.js';
import type { Shape } from './shape.js';
import type { TaskOptions } from './task.js';
import { DenseTensor, type Tensor, toDense } from './tensor.js';

/** What a job works with: an engine that runs in the same thread, so that tensors are used where they lie. */
export interface JobContext extends TaskOptions {
  readonly engine: Engine;
  readonly kernels: Kernels;
  /** Loads a model that the host prepared. */
  readonly load: (model: PreparedModel) => Promise<Executor>;
  /**
   * The same `count` times, each with an equal share of the threads: where the host has threads to give, all but the last one run in threads of their own, at the same time as the
   * last one, which runs in this thread. Start runs in order.
   */
  readonly loadCopies: (model: PreparedModel, count: number) => Promise<readonly Executor[]>;
  readonly shelf: (shelf: ShelfReference) => Shelf;
  /** Computes a tensor in this thread: a weight comes from its file and never passes through the calling thread. The result is the job's to overwrite. */
  readonly read: (tensor: TensorReference) => Promise<DenseTensor>;
  /**
   * Puts a result where it does not take memory: into the work folder of the run, under the hash of its content, where the host has
   * one. The reference goes back in the output of the job; `JobHost.tensor` makes a lazy tensor of it.
   */
  readonly spill: (tensor: DenseTensor) => Promise<TensorReference>;
}

/** A tensor that jobs of the same host can read, as plain data: an expression over ranges of files, or a spill. */
export interface TensorReference {
  readonly kind: 'tensor';
  readonly dtype: DType;
  readonly shape: Shape;
  readonly reference: unknown;
  /** How it was made, where that says all: what has the same identity holds the same. */
  readonly identity?: string;
}

/** A model that jobs of the same host can load, as plain data. */
export interface PreparedModel {
  readonly kind: 'model';
  readonly reference: unknown;
}

/** A shelf that jobs of the same host can reach, as plain data. */
export interface ShelfReference {
  readonly kind: 'shelf';
  readonly reference: unknown;
}

/** Tensors put aside between jobs, on disk where the host has one: activations that are read again, and need not be in memory. */
export interface Shelf {
  /** Replaces what has the name. */
  put(name: string, tensor: DenseTensor): Promise<void>;
  /** Throws `E_NOT_FOUND` for a name that is not there. */
  get(name: string): Promise<DenseTensor>;
  delete(name: string): Promise<void>;
  /** What has the name now, for `JobContext.read`, as long as it is there. Throws `E_NOT_FOUND`. */
  refer(name: string): Promise<TensorReference>;
}

/** Input and output are plain data and typed arrays, as `structuredClone` takes them. */
export type JobFunction<Input, Output> = (input: Input, context: JobContext) => Promise<Output>;

/** A function, and where another thread finds it. */
export interface Job<Input, Output> {
  /** URL of the module. */
  readonly module: string;
  /** Name under which the module exports this job. */
  readonly name: string;
  readonly run: JobFunction<Input, Output>;
  /**
   * The output follows from the input alone and is small, but for what was spilled: a run that goes on takes what the job gave before
   * it was cut off.
   */
  readonly repeatable?: boolean;
}

/**
 * URL of a module beside the caller, given the caller's `import.meta.url` and the module's name without extension. Built packages
 * are flat, so the module must be an entry of its own in tsup.config.ts. Always the ES module, which both builds can import.
 */
export function jobModule(from: string, name: string): string {
  const extension = new URL(from).pathname.endsWith('.ts') ? '.ts' : '.js';
  return new URL(name + extension, from).href;
}

export interface JobOptions extends TaskOptions {
  /** Buffers of the input that are given away instead of copied, the caller's arrays are empty afterwards; and ports in it. */
  readonly transfer?: readonly (ArrayBuffer | MessagePort)[];
  /** Asks the job to end early, through the signal of its context; the run settles with what it then gives. */
  readonly stop?: AbortSignal;
}

export interface JobHost {
  /** Jobs that run at the same time. */
  readonly parallel: number;
  /** Makes a model loadable for jobs, until it is disposed. */
  prepare(model: Model, options?: Pick<TaskOptions, 'signal'>): Promise<PreparedModel & AsyncDisposable>;
  /**
   * Hash of what a model computes: its nodes and the content of its weights, wherever they are stored. Hosts that cannot tell keep no
   * statistics.
   */
  digest?(model: Model, options?: Pick<TaskOptions, 'signal'>): Promise<string>;
  /** An empty shelf; disposing it deletes what is on it. */
  openShelf(): Promise<Shelf & ShelfReference & AsyncDisposable>;
  /** Makes a tensor readable for jobs (`JobContext.read`). What is on disk stays there; string and sparse tensors throw `E_DTYPE`. */
  refer(tensor: Tensor): Promise<TensorReference>;
  /** The tensor behind what a job spilled. It lasts as long as the work folder of the run. */
  tensor(reference: TensorReference): Promise<Tensor>;
  run<Input, Output>(job: Job<Input, Output>, input: Input, options?: JobOptions): Promise<Output>;
}

/** Jobs in the calling thread: for tests, for browsers' own workers, and where there is nothing else. */
export function inlineJobs({ engine, kernels }: Pick<JobContext, 'engine' | 'kernels'>): JobHost {
  return {
    parallel: 1,
    prepare: async (model) => ({ kind: 'model', reference: model, [Symbol.asyncDispose]: async () => {} }),
    async openShelf() {
      const tensors = new Map<string, DenseTensor>();
      const shelf = memoryShelf(tensors);
      return { ...shelf, kind: 'shelf', reference: shelf, [Symbol.asyncDispose]: async () => tensors.clear() };
    },
    refer: async (tensor) => inMemory(tensor),
    tensor: async ({ reference }) => reference as Tensor,
    run: (job, input, { transfer: _transfer, stop, ...task } = {}) => {
      const load = ({ reference }: PreparedModel): Promise<Executor> => engine.load(reference as Model, task.signal ? { signal: task.signal } : {});
      return job.run(input, {
        ...task,
        ...(stop && { signal: task.signal ? AbortSignal.any([task.signal, stop]) : stop }),
        engine,
        kernels,
        load,
        loadCopies: (model, count) => Promise.all(Array.from({ length: count }, () => load(model))),
        shelf: ({ reference }) => reference as Shelf,
        read: ({ reference }) => ownDense(reference as Tensor),
        spill: async (tensor) => inMemory(tensor),
      });
    },
  };
}

function inMemory(tensor: Tensor): TensorReference {
  if (tensor.kind !== 'dense' && tensor.kind !== 'lazy') throw new PenjingError('E_DTYPE', `jobs read no ${tensor.kind} tensors`);
  return { kind: 'tensor', dtype: tensor.dtype, shape: tensor.shape, reference: tensor };
}

/** A lazy tensor is computed anew every time; a dense one may be a weight of the model. */
async function ownDense(tensor: Tensor): Promise<DenseTensor> {
  return tensor.kind === 'dense' ? new DenseTensor(tensor.dtype, tensor.shape, (tensor as DenseTensor).bytes.slice()) : toDense(tensor);
}

function memoryShelf(tensors: Map<string, DenseTensor>): Shelf {
  const get = async (name: string): Promise<DenseTensor> => {
    const tensor = tensors.get(name);
    if (!tensor) throw new PenjingError('E_NOT_FOUND', `${name} is not on the shelf`);
    return tensor;
  };
  return {
    get,
    put: async (name, tensor) => void tensors.set(name, tensor),
    delete: async (name) => void tensors.delete(name),
    refer: async (name) => inMemory(await get(name)),
  };
}
