import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { eventData } from './server-sent-events.js';

async function read(chunks: readonly (string | Uint8Array)[]): Promise<string[]> {
  async function* bytes(): AsyncGenerator<Uint8Array> {
    for (const chunk of chunks) yield typeof chunk === 'string' ? new TextEncoder().encode(chunk) : chunk;
  }
  const events: string[] = [];
  for await (const event of eventData(bytes())) events.push(event);
  return events;
}

describe('server-sent events', () => {
  test('are the data of events, whatever the line ends, comments and other fields', async () => {
    expect(await read(['data: a\n\ndata:b\n\n'])).toEqual(['a', 'b']);
    expect(await read(['data: a\r\n\r\ndata: b\r\n\r\n'])).toEqual(['a', 'b']);
    expect(await read(['data: a\r\rdata: b\r\r'])).toEqual(['a', 'b']);
    expect(await read([': ping\n\nevent: error\nid: 3\ndata: x\ndata: y\n\n'])).toEqual(['x\ny']);
    expect(await read(['data: last without an end'])).toEqual(['last without an end']);
  });

  test('do not depend on where the stream is cut, inside characters too', async () => {
    const text = 'data: {"t":"盆景 🌳"}\r\n\r\ndata: two\ndata: lines\n\n';
    const bytes = new TextEncoder().encode(text);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 0, max: bytes.length })), async (cuts) => {
        const at = [0, ...cuts.sort((a, b) => a - b), bytes.length];
        expect(await read(at.slice(1).map((end, i) => bytes.slice(at[i], end)))).toEqual(['{"t":"盆景 🌳"}', 'two\nlines']);
      }),
    );
  });

  test('an event without an end is given up', async () => {
    await expect(read(new Array<string>(9).fill('x'.repeat(2 ** 20)))).rejects.toThrow(RangeError);
  });
});
