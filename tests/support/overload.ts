/** More requests than a server can take, at a fixed rate whatever it answers, and what became of each of them. */
import { Agent, type IncomingMessage, request } from 'node:http';
import { residentBytes } from './served.js';

export interface OverloadOptions {
  readonly url: string;
  /** The process of the server, whose tree is weighed. */
  readonly pid: number;
  /** Takes `spins` (support/served-models.ts). */
  readonly model: string;
  readonly milliseconds: number;
  /** Of the measured capacity. */
  readonly factor: number;
  readonly onSample?: (sample: Sample) => void;
}

export interface Sample {
  readonly seconds: number;
  readonly bytes: number;
}

export interface Overload {
  /** Requests per second that were answered when as many were asked at a time as the server works on. */
  readonly capacity: number;
  readonly asked: number;
  /** By status; `lost` is what got no answer, `wrong` an answer with another result, or a refusal that does not say when to come back. */
  readonly answers: Readonly<Record<string, number>>;
  readonly lost: number;
  /** Those that were lost, by the code of the error. */
  readonly errors: Readonly<Record<string, number>>;
  readonly wrong: number;
  /** Milliseconds of /v2/health/ready meanwhile. */
  readonly ready: { readonly asked: number; readonly p50: number; readonly p99: number; readonly failed: number };
  readonly samples: readonly Sample[];
  /** Bytes per hour of the whole tree, of the second half, by least squares. */
  readonly slope: number;
}

const SPINS = 40;

export async function overload({ url, pid, model, milliseconds, factor, onSample }: OverloadOptions): Promise<Overload> {
  const agent = new Agent({ keepAlive: true, maxSockets: 512 });
  const probe = new Agent({ keepAlive: true, maxSockets: 1 });
  const body = JSON.stringify({ inputs: [{ name: 'spins', datatype: 'INT64', shape: [1], data: [SPINS] }] });
  const infer = (): Promise<Answer> => ask(agent, `${url}/v2/models/${model}/infer`, body);
  const answers: Record<string, number> = {};
  const errors: Record<string, number> = {};
  let [asked, lost, wrong, failed] = [0, 0, 0, 0];
  const one = async (): Promise<void> => {
    asked++;
    try {
      const { status, text, retryAfter } = await infer();
      answers[status] = (answers[status] ?? 0) + 1;
      const honest = status === 200 ? text.includes(`"data":[${SPINS}]`) : (status === 429 || status === 503) && Number(retryAfter) >= 1;
      if (!honest) wrong++;
    } catch (error) {
      lost++;
      const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
      errors[code] = (errors[code] ?? 0) + 1;
    }
  };
  try {
    const capacity = await capacityOf(infer);
    const samples: Sample[] = [];
    const readyMs: number[] = [];
    const started = performance.now();
    const until = started + milliseconds;
    const pending = new Set<Promise<void>>();
    const offered = (async () => {
      for (let sent = 0; performance.now() < until; await pause(5)) {
        for (const due = ((performance.now() - started) / 1000) * capacity * factor; sent < due; sent++) {
          const work = one().finally(() => pending.delete(work));
          pending.add(work);
        }
      }
      await Promise.all(pending);
    })();
    const probing = (async () => {
      for (; performance.now() < until; await pause(25)) {
        const before = performance.now();
        const status = await ask(probe, `${url}/v2/health/ready`).then((answer) => answer.status, () => 0);
        readyMs.push(performance.now() - before);
        if (status !== 200) failed++;
      }
    })();
    const weighing = (async () => {
      for (; performance.now() < until; await pause(Math.max(1000, milliseconds / 200))) {
        const sample = { seconds: (performance.now() - started) / 1000, bytes: await residentBytes(pid) };
        samples.push(sample);
        onSample?.(sample);
      }
    })();
    await Promise.all([offered, probing, weighing]);
    readyMs.sort((a, b) => a - b);
    const at = (share: number): number => readyMs[Math.min(readyMs.length - 1, Math.floor(share * readyMs.length))] ?? Number.NaN;
    return { capacity, asked, answers, lost, errors, wrong, ready: { asked: readyMs.length, p50: at(0.5), p99: at(0.99), failed }, samples, slope: slopeOf(samples.slice(samples.length >> 1)) };
  } finally {
    agent.destroy();
    probe.destroy();
  }
}

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly retryAfter: string | undefined;
}

export function ask(agent: Agent, url: string, body?: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { agent, method: body === undefined ? 'GET' : 'POST' }, (response: IncomingMessage) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('end', () => resolve({ status: response.statusCode!, text, retryAfter: response.headers['retry-after'] }));
      response.on('error', reject);
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

/** Four at a time for two seconds. */
async function capacityOf(infer: () => Promise<Answer>): Promise<number> {
  const started = performance.now();
  let done = 0;
  await Promise.all(Array.from({ length: 4 }, async () => {
    while (performance.now() - started < 2000) {
      await infer();
      done++;
    }
  }));
  return (done * 1000) / (performance.now() - started);
}

function slopeOf(samples: readonly Sample[]): number {
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [x, y] = [mean(samples.map(({ seconds }) => seconds)), mean(samples.map(({ bytes }) => bytes))];
  const spread = samples.reduce((sum, { seconds }) => sum + (seconds - x) ** 2, 0);
  return spread === 0 ? 0 : (samples.reduce((sum, { seconds, bytes }) => sum + (seconds - x) * (bytes - y), 0) / spread) * 3600;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
