/** A stage, or a front that keeps asking, in a process of its own: started by tests that kill and stop it. Its orders are JSON in argv; it speaks over IPC. */
import { DenseTensor } from '@penjing/core';
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
  readonly input: string;
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
  const { input, requests } = orders;
  let answered = 0;
  process.on('message', () => process.send!({ answered }));
  process.send!({ address: '' });
  const ask = async (): Promise<void> => {
    for (;;) {
      await front.run({ [input]: DenseTensor.of('float32', [1024], new Float32Array(1024)) }).then(() => answered++, () => new Promise((resolve) => setTimeout(resolve, 50)));
    }
  };
  await Promise.all(Array.from({ length: requests }, ask));
}
