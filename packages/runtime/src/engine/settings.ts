/** Session options as users give them, with their defaults and ranges. */
import { availableParallelism } from 'node:os';
import { PenjingError } from '@penjing/core';
import type { SessionSettings } from '../worker/wire-types.js';
import { type Device, providerAttempts } from './device.js';

export interface SessionOptions {
  /** Intra-op threads; the cores this process may use when absent. */
  readonly threads?: number;
  /** Where the model runs: 'cpu' when absent; 'auto' takes a graphics processor where there is one that ONNX Runtime can use. */
  readonly device?: Device;
  /** Execution providers of ONNX Runtime in order of preference, instead of a device: what the first does not take goes to the next. */
  readonly providers?: readonly string[];
  /**
   * Whether ONNX Runtime copies weights into the form its kernels like best. 'auto' leaves large float models as they
   * are mapped from disk (3 GB of float weights: 36 ms and no memory instead of 9 s and 3 GB) and packs everything
   * else, since quantized weights run 100 times slower unpacked.
   */
  readonly prepack?: 'auto' | 'always' | 'never';
  /** Graph optimisation that ONNX Runtime applies when it loads; 'all' when absent. */
  readonly optimization?: 'none' | 'basic' | 'extended' | 'all';
  /**
   * Whether ONNX Runtime plans the places of all intermediate values at once after its first run. True when absent. A graph that ends in gradients takes 1,050 instead of 1,800 MB without, in the same time
   * (a training step of a 15 M-parameter Llama, batch 8 × 256), since what is freed early is used again.
   */
  readonly memoryPattern?: boolean;
  /**
   * Where the session lives: 'own' (default) is a worker thread of its own; on the 'calling' thread every run blocks whatever else it does, and spares the way between threads (0.04 of 0.15 ms): for a
   * process that does nothing else.
   */
  readonly thread?: 'own' | 'calling';
  /** Further configuration entries of ONNX Runtime, for example `session.qdq_matmulnbits_accuracy_level`. */
  readonly sessionConfig?: Readonly<Record<string, string>>;
}

/** What is known of a model's weights when its session is configured. */
export interface WeightFacts {
  readonly bytes: number;
  readonly quantized: boolean;
  readonly byPath: boolean;
}

const LARGE_FLOAT_MODEL = 2 ** 30;

/** Lists of execution providers, as `SessionSettings.attempts` has them. Throws `E_OPTION` for a device that no one knows. */
export function providersOf({ device = 'cpu', providers }: Pick<SessionOptions, 'device' | 'providers'>): readonly (readonly string[])[] {
  return providers ? [providers] : providerAttempts(device);
}

export function sessionSettings(options: SessionOptions, weights: WeightFacts, spin = true): SessionSettings {
  const threads = options.threads ?? availableParallelism();
  if (!Number.isInteger(threads) || threads < 1 || threads > 1024) {
    throw new PenjingError('E_OPTION', `threads is ${threads}; it must be an integer from 1 to 1024`);
  }
  const { prepack = 'auto' } = options;
  const mapped = weights.byPath && !weights.quantized && weights.bytes >= LARGE_FLOAT_MODEL;
  return {
    threads,
    attempts: providersOf(options),
    prepack: prepack === 'auto' ? !mapped : prepack === 'always',
    optimization: options.optimization ?? 'all',
    spin,
    memoryPattern: options.memoryPattern ?? true,
    extra: options.sessionConfig ?? {},
  };
}
