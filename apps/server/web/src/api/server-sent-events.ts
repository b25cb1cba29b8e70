/** Reads a stream of server-sent events (WHATWG HTML, "Interpreting an event stream"): the data of each event. */

/** An event longer than this is no answer of this server; the stream is given up. */
const MAX_EVENT = 8 * 2 ** 20;

/** Yields the `data` of every event in order; comments and other fields are skipped. Throws RangeError on an endless event. */
export async function* eventData(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder();
  let rest = '';
  let data: string[] = [];
  const take = (line: string): string | undefined => {
    if (line === '') {
      const event = data.length > 0 ? data.join('\n') : undefined;
      data = [];
      return event;
    }
    if (line.startsWith('data:')) data.push(line.slice(line[5] === ' ' ? 6 : 5));
    return undefined;
  };
  for await (const chunk of chunks) {
    rest += decoder.decode(chunk, { stream: true });
    // A lone CR at the end may be the first half of CRLF.
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() ?? '';
    if (rest.length > MAX_EVENT) throw new RangeError('the stream sends an event without an end');
    for (const line of lines) {
      const event = take(line);
      if (event !== undefined) yield event;
    }
  }
  for (const line of [rest + decoder.decode(), '']) {
    const event = take(line.replace(/\r$/, ''));
    if (event !== undefined) yield event;
  }
}
