/** A TCP proxy that does to a connection what networks do: it is slow, cuts what is sent in two, loses it, damages it, and breaks off. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

/** May be changed at any time; it holds for what comes from then on, on connections there are and on new ones. */
export interface Faults {
  /** Everything arrives so much later; not with what cuts or limits. */
  delayMs?: number;
  /** Of each direction of each connection. */
  bytesPerSecond?: number;
  /** Chunks arrive as two, a moment apart. */
  halve?: boolean;
  /** Nothing arrives, and nobody is told: as behind a router that lost its way. What was held arrives when it ends. */
  blackHole?: boolean;
  /** One bit of every so many bytes is turned over. */
  flipEvery?: number;
  /** Connections are reset after so many bytes of one direction. */
  resetAfter?: number;
}

export interface FaultProxy extends AsyncDisposable {
  /** `HOST:PORT` to connect to instead of the target. */
  readonly address: string;
  readonly faults: Faults;
  /** Bytes that went through, both ways. */
  readonly passed: number;
  /** Bits that were turned over. */
  readonly flipped: number;
  /** Breaks all connections off with RST. */
  reset(): void;
}

const pause = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

export async function startFaultProxy(target: string, faults: Faults = {}): Promise<FaultProxy> {
  const [host, port] = [target.slice(0, target.lastIndexOf(':')), Number(target.slice(target.lastIndexOf(':') + 1))];
  const pairs = new Set<readonly [Socket, Socket]>();
  const counts = { passed: 0, flipped: 0 };
  const server = createServer((client) => {
    const upstream = connect(port, host);
    const pair = [client, upstream] as const;
    pairs.add(pair);
    const end = (): void => {
      pairs.delete(pair);
      for (const socket of pair) socket.destroy();
    };
    for (const socket of pair) socket.setNoDelay(true).on('error', end).on('close', end);
    // A socket read to its end is not at once closed: the other half may still speak.
    void pass(client, upstream, pair).catch(end);
    void pass(upstream, client, pair).catch(end);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');

  async function pass(from: Socket, to: Socket, pair: readonly [Socket, Socket]): Promise<void> {
    let carried = 0;
    for await (const chunk of from as AsyncIterable<Buffer>) {
      while (faults.blackHole && !to.destroyed) await pause(10);
      const { delayMs, flipEvery, resetAfter, bytesPerSecond } = faults;
      if (flipEvery) {
        for (let at = flipEvery - (carried % flipEvery) - 1; at < chunk.length; at += flipEvery) {
          chunk[at]! ^= 1 << (carried + at) % 8;
          counts.flipped++;
        }
      }
      carried += chunk.length;
      counts.passed += chunk.length;
      if (resetAfter !== undefined && carried > resetAfter) return breakOff(pair);
      if (delayMs) {
        // Later, and no slower: timers of the same length keep their order.
        setTimeout(() => !to.destroyed && to.write(chunk), delayMs);
        continue;
      }
      const half = faults.halve ? chunk.length >> 1 : 0;
      for (const part of half ? [chunk.subarray(0, half), chunk.subarray(half)] : [chunk]) {
        if (to.destroyed) return;
        if (!to.write(part)) await Promise.race([once(to, 'drain'), once(to, 'close')]);
        if (bytesPerSecond) await pause((part.length / bytesPerSecond) * 1000);
        else if (half) await pause(1);
      }
    }
    setTimeout(() => to.end(), faults.delayMs ?? 0);
  }

  function breakOff(pair: readonly [Socket, Socket]): void {
    pairs.delete(pair);
    for (const socket of pair) socket.resetAndDestroy();
  }

  const { port: own } = server.address() as { port: number };
  return {
    address: `127.0.0.1:${own}`, faults,
    get passed() {
      return counts.passed;
    },
    get flipped() {
      return counts.flipped;
    },
    reset: () => [...pairs].forEach(breakOff),
    async [Symbol.asyncDispose]() {
      server.close();
      for (const pair of [...pairs]) breakOff(pair);
    },
  };
}
