/** Readings of the server's metrics over the last minutes, taken while the page is open. */
import { signal } from '@preact/signals';
import { request } from '../api/client.js';
import { type Reading, readMetrics } from '../charts/prometheus.js';

export const EVERY = 2_000;
export const SPAN = 5 * 60_000;

export const readings = signal<readonly Reading[]>([]);
export const readingsError = signal<unknown>(undefined);
export const paused = signal(false);

async function take(): Promise<void> {
  try {
    const text = await (await request('metrics')).text();
    const reading = readMetrics(text, Date.now());
    readings.value = [...readings.value.filter(({ time }) => time > reading.time - SPAN), reading];
    readingsError.value = undefined;
  } catch (error) {
    readingsError.value = error;
  }
}

/** Polls until the returned function is called; a reading that is late is not overtaken. */
export function startReadings(): () => void {
  let stopped = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const next = async (): Promise<void> => {
    if (!paused.value && document.visibilityState === 'visible') await take();
    if (!stopped) timer = setTimeout(() => void next(), EVERY);
  };
  void next();
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}
