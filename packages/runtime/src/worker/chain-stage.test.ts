/** Stages of a chain on this thread, whose runs end when they are told to. */
import { MessageChannel } from 'node:worker_threads';
import * as ort from 'onnxruntime-node';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { type ChainMessage, type JoinedChain, joinChain } from './chain-stage.js';

const opened: { close(): void }[] = [];
afterEach(() => opened.splice(0).forEach((line) => line.close()));

/** `ran`: numbers of the runs, by stage. The stage `slow` ends its runs when it is told to. */
function openLine(slow: number) {
  const channels = Array.from({ length: 4 }, () => new MessageChannel());
  const ran: number[][] = [[], [], []];
  const held: (() => void)[] = [];
  const stages: JoinedChain[] = ran.map((runs, i) => joinChain({
    api: ort,
    async run(_handle, { v }) {
      runs.push((v!.data as Float32Array)[0]!);
      if (i === slow) await new Promise<void>((resolve) => held.push(resolve));
      return { v: v! };
    },
  }, { handle: i, reads: ['v'], gives: ['v'], passes: [], input: channels[i]!.port2, output: channels[i + 1]!.port1 }));
  const came: ChainMessage[] = [];
  channels[3]!.port2.on('message', (message: ChainMessage) => void came.push(message));
  const line = {
    stages, ran, held,
    kept: () => stages.map(({ dropped }) => dropped.size),
    /** What came out at the end, in order. */
    came: () => came.flatMap((message) => ('drop' in message ? [] : [[message.id, 'skipped' in message ? 'skipped' : 'values' in message ? 'done' : 'failed']])),
    send: (id: number) => channels[0]!.port1.postMessage({ id, values: { v: { dtype: 'float32', shape: [1], data: Float32Array.of(id).buffer } } } satisfies ChainMessage),
    drop: (id: number) => channels[0]!.port1.postMessage({ drop: id } satisfies ChainMessage),
    close: () => channels.forEach(({ port1 }) => port1.close()),
  };
  opened.push(line);
  return line;
}

const ids = Array.from({ length: 100 }, (_, i) => i + 1);

describe('runs that were given up', () => {
  test('begin in no stage, and none of them remembers them', async () => {
    const line = openLine(0);
    for (const id of ids) line.send(id);
    await vi.waitFor(() => expect(line.held).toHaveLength(1), 20_000);
    const given = ids.filter((id) => id % 3 !== 1);
    for (const id of given) line.drop(id);
    // The last stage hears of it at once, while the first one runs.
    await vi.waitFor(() => expect(line.kept()).toEqual(Array(3).fill(given.length)), 20_000);
    const kept = ids.filter((id) => id % 3 === 1);
    for (let i = 0; i < kept.length; i++) {
      await vi.waitFor(() => expect(line.held.length).toBeGreaterThan(i), { timeout: 20_000, interval: 1 });
      line.held[i]!();
    }
    await vi.waitFor(() => expect(line.came()).toHaveLength(ids.length), 20_000);
    expect(line.came()).toEqual(ids.map((id) => [id, given.includes(id) ? 'skipped' : 'done']));
    expect(line.ran).toEqual(Array(3).fill(kept));
    expect(line.kept()).toEqual([0, 0, 0]);
  }, 60_000);

  test('end before the next stage when they have left one already', async () => {
    const line = openLine(1);
    for (const id of [1, 2, 3]) line.send(id);
    await vi.waitFor(() => expect([line.held.length, line.ran[0]]).toEqual([1, [1, 2, 3]]), 20_000);
    line.drop(2);
    line.drop(3);
    await vi.waitFor(() => expect(line.kept()).toEqual([0, 2, 2]), 20_000);
    line.held[0]!();
    await vi.waitFor(() => expect(line.came()).toEqual([[1, 'done'], [2, 'skipped'], [3, 'skipped']]), 20_000);
    expect(line.ran).toEqual([[1, 2, 3], [1], [1]]);
    expect(line.kept()).toEqual([0, 0, 0]);
  }, 60_000);
});
