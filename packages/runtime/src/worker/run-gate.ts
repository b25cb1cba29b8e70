/**
 * Keeps a process from ending while a thread of it is inside ONNX Runtime. Node waits for such a thread anyway, but then the
 * binding meets a stopped JavaScript and the process dies: "terminate called after throwing an instance of 'Napi::Error'",
 * exit code 134 instead of the one that was asked for (onnxruntime-node 1.30, worker.terminate and process.exit alike).
 */
import { PenjingError } from '@penjing/core';

const BUSY = 0;
const CLOSED = 1;

export class RunGate {
  /** Shared between the two threads: how many native calls are under way, and whether new ones are refused. */
  readonly cells: Int32Array<SharedArrayBuffer>;

  constructor(shared: SharedArrayBuffer = new SharedArrayBuffer(8)) {
    this.cells = new Int32Array(shared);
  }

  /** Worker: makes a native call. */
  async pass<T>(call: () => Promise<T>): Promise<T> {
    Atomics.add(this.cells, BUSY, 1);
    try {
      if (Atomics.load(this.cells, CLOSED) !== 0) throw new PenjingError('E_DISPOSED', 'the process is ending');
      return await call();
    } finally {
      Atomics.sub(this.cells, BUSY, 1);
      Atomics.notify(this.cells, BUSY);
    }
  }

  get busy(): boolean {
    return Atomics.load(this.cells, BUSY) !== 0;
  }

  /** Caller: lets no call begin any more and waits, blocking, for those that have begun. */
  close(): void {
    Atomics.store(this.cells, CLOSED, 1);
    for (;;) {
      const count = Atomics.load(this.cells, BUSY);
      if (count === 0) return;
      Atomics.wait(this.cells, BUSY, count, 1000);
    }
  }
}
