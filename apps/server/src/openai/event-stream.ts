/** Server-sent events: a reply that begins with its first event, and says what went wrong after that as an event. */

export interface EventStream {
  readonly send: (data: object | '[DONE]') => void;
}

const HEADERS = { 'Content-Type': 'text/event-stream; charset=utf-8', 'Cache-Control': 'no-cache, no-transform', 'X-Accel-Buffering': 'no' };
/** Proxies close what is silent for a minute. */
const SILENCE_MS = 15_000;

/**
 * Runs `body`, which sends events. Until the first one a failure rejects, so that it gets a status of its own; later ones become an event by `failed`. `leave` is called when the reader goes away.
 */
export function eventStream(body: (stream: EventStream) => Promise<void>, { failed, leave, headers }: { readonly failed: (error: unknown) => object; readonly leave: () => void; readonly headers: () => Record<string, string> }): Promise<Response> {
  return new Promise((resolve, reject) => {
    const encoder = new TextEncoder();
    let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
    let begun = false;
    let over = false;
    let beat: NodeJS.Timeout | undefined;
    const write = (text: string): void => {
      if (!over) controller?.enqueue(encoder.encode(text));
    };
    const readable = new ReadableStream<Uint8Array>({
      start: (given) => void (controller = given),
      cancel() {
        over = true;
        clearInterval(beat);
        leave();
      },
    });
    const begin = (): void => {
      if (begun) return;
      begun = true;
      beat = setInterval(() => write(': still here\n\n'), SILENCE_MS).unref();
      resolve(new Response(readable, { headers: { ...HEADERS, ...headers() } }));
    };
    const end = (): void => {
      clearInterval(beat);
      if (!over) controller?.close();
      over = true;
    };
    const stream: EventStream = {
      send(data) {
        begin();
        write(`data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`);
      },
    };
    body(stream).then(
      () => {
        begin();
        end();
      },
      (error: Error) => {
        if (!begun) return reject(error);
        write(`data: ${JSON.stringify(failed(error))}\n\n`);
        end();
      },
    );
  });
}
