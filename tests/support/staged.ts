/** Stages in this process, of executors that tests can hold back: what they compute is told apart by their factor. */
import { DenseTensor, type Executor, type Feeds, type Fetches, tensorType } from '@penjing/core';
import { openStages, type RemoteStages, serveStage, type Stage, type StageOptions, type StagesOptions } from '@penjing/parallel/grpc';

export const floats = (...values: number[]): DenseTensor => DenseTensor.of('float32', [values.length], Float32Array.from(values));
export const numbersOf = (tensor: Fetches[string] | undefined): number[] => [...((tensor as DenseTensor).data as Float32Array)];

export interface Affine {
  readonly input: string;
  readonly output: string;
  readonly factor: number;
  readonly before?: (feeds: Feeds, signal: AbortSignal | undefined) => Promise<void> | void;
}

/** output = input · factor + 1, element by element. */
export function affine({ input, output, factor, before }: Affine): Executor {
  const type = tensorType('float32', ['n']);
  return {
    inputs: [{ name: input, type }],
    outputs: [{ name: output, type }],
    async run(feeds, { signal } = {}) {
      await before?.(feeds, signal);
      const { shape, data } = feeds[input] as DenseTensor;
      const made = new Float32Array(data.length);
      for (let i = 0; i < made.length; i++) made[i] = (data[i] as number) * factor + 1;
      return { [output]: DenseTensor.of('float32', shape, made) };
    },
    async [Symbol.asyncDispose]() {},
  };
}

export interface Chain extends AsyncDisposable {
  readonly stages: readonly Stage[];
  readonly front: RemoteStages;
}

export type ChainLink = Partial<StageOptions> & { readonly executor?: Executor };

/** Stages from the last to the first, then the front. */
export async function openChain(links: readonly ChainLink[], front: Partial<StagesOptions> = {}): Promise<Chain> {
  const stages: Stage[] = [];
  for (const { executor, ...link } of [...links].reverse()) {
    const next = stages[0]?.address;
    stages.unshift(await serveStage({ epoch: 1, listen: '127.0.0.1:0', graceMs: 0, open: async () => executor!, ...(next !== undefined && { next }), ...link }));
  }
  const opened = await openStages({ address: stages[0]!.address, epoch: 1, ...front });
  return {
    stages, front: opened,
    async [Symbol.asyncDispose]() {
      await opened[Symbol.asyncDispose]();
      for (const stage of stages) await stage[Symbol.asyncDispose]();
    },
  };
}

/** Three stages: x → h → g → y. */
export function threeAffine(before: Partial<Record<'h' | 'g' | 'y', Affine['before']>> = {}): ChainLink[] {
  const link = (input: string, output: 'h' | 'g' | 'y', factor: number): ChainLink => ({ executor: affine({ input, output, factor, ...(before[output] && { before: before[output] }) }) });
  return [link('x', 'h', 2), link('h', 'g', 3), link('g', 'y', 5)];
}

export const threeOf = (x: number): number => ((x * 2 + 1) * 3 + 1) * 5 + 1;

/** Until it holds; fails after a time that only a standstill takes. */
export async function until(holds: () => boolean, what: string, milliseconds = 20_000): Promise<void> {
  for (const end = Date.now() + milliseconds; !holds(); await new Promise((resolve) => setTimeout(resolve, 10))) {
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
  }
}
