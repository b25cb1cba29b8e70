/** A stage, or a front that keeps asking, in a process of its own: started by tests that kill and stop it. Its orders are JSON in argv; it speaks over IPC. */
import { createHash } from 'node:crypto';
import { byteSize, DenseTensor, elementCount, type Fetches, type ValueType } from '@penjing/core';
import { openStages, serveStage, type StageOptions } from '@penjing/parallel/grpc';
import { affine } from './staged.js';

export interface StageOrders extends Pick<StageOptions, 'listen' | 'epoch' | 'token' | 'keepAlive' | 'limits'> {
  readonly kind: 'stage';
  readonly next?: string;
  readonly input: string;
  readonly output: string;
  readonly factor: number;
  /** Time a run takes. */
  readonly runMs?: number;
}

export interface FrontOrders extends Pick<StageOptions, 'epoch' | 'token' | 'keepAlive' | 'limits'> {
  readonly kind: 'front';
  readonly address: string;
  /** Of dimensions, by their symbols. */
  readonly sizes?: Readonly<Record<string, number>>;
  /** Requests at a time. */
  readonly requests: number;
}

process.on('disconnect', () => process.exit(0));
const orders = JSON.parse(process.argv[2]!) as StageOrders | FrontOrders;

if (orders.kind === 'stage') {
  const { input, output, factor, runMs = 0 } = orders;
  const before = (): Promise<void> | void => (runMs > 0 ? new Promise((resolve) => setTimeout(resolve, runMs)) : undefined);
  const stage = await serveStage({ ...orders, graceMs: 0, open: async () => affine({ input, output, factor, before }) });
  process.on('message', () => process.send!({ underWay: stage.underWay, ready: !('code' in stage.state) }));
  process.on('SIGTERM', () => void stage[Symbol.asyncDispose]().then(() => process.exit(0)));
  process.send!({ address: stage.address });
} else {
  const front = await openStages(orders);
  const feeds = Object.fromEntries(front.inputs.map(({ name, type }) => [name, zeros(type)]));
  const counts = { answered: 0, failed: 0, different: 0 };
  let expected: string | undefined;
  process.on('message', () => process.send!(counts));
  process.send!({ address: '' });
  const ask = async (): Promise<void> => {
    for (;;) {
      try {
        const hash = hashOf(await front.run(feeds));
        if (hash !== (expected ??= hash)) counts.different++;
        counts.answered++;
      } catch {
        counts.failed++;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  };
  await Promise.all(Array.from({ length: orders.requests }, ask));
}

/** Symbols of dimensions are 1, or what `orders` say. */
function zeros(type: ValueType): DenseTensor {
  if (type.kind !== 'tensor') throw new Error('no tensor');
  const shape = (type.shape ?? []).map((dim) => (typeof dim === 'number' ? dim : ((orders as FrontOrders).sizes?.[dim ?? ''] ?? 1)));
  const dtype = type.dtype ?? 'float32';
  return new DenseTensor(dtype, shape, new Uint8Array(byteSize(dtype, elementCount(shape))));
}

function hashOf(values: Fetches): string {
  const hash = createHash('sha256');
  for (const [name, tensor] of Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1))) hash.update(name).update((tensor as DenseTensor).bytes);
  return hash.digest('hex');
}
