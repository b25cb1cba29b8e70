/** Progress on stderr: one moving line on a terminal, a plain line every few seconds otherwise. */
import type { Progress } from '@penjing/core';

export interface ProgressView {
  readonly update: (progress: Progress) => void;
  /** Clears the moving line so that other text can follow. */
  readonly clear: () => void;
}

const WIDTH = 28;
const TERMINAL_MS = 80;
const PLAIN_MS = 5000;

export function createProgressView(stream: NodeJS.WriteStream, quiet: boolean): ProgressView {
  if (quiet) return { update: () => {}, clear: () => {} };
  const terminal = stream.isTTY;
  let last = 0;
  let shown = false;
  let phase = '';
  let phaseStart = performance.now();
  const clear = (): void => {
    if (shown) stream.write('\r\x1b[K');
    shown = false;
  };
  return {
    clear,
    update(progress) {
      const now = performance.now();
      if (progress.phase !== phase) {
        phase = progress.phase;
        phaseStart = now;
        last = 0;
      }
      const finished = progress.done >= progress.total;
      if (now - last < (terminal ? TERMINAL_MS : PLAIN_MS) && !(terminal && finished)) return;
      last = now;
      const line = describe(progress, (now - phaseStart) / 1000);
      if (!terminal) return void stream.write(`${line}\n`);
      stream.write(`\r\x1b[K${line.slice(0, (stream.columns || 80) - 1)}`);
      shown = true;
    },
  };
}

function describe({ phase, done, total, unit, item }: Progress, seconds: number): string {
  const share = total > 0 ? Math.min(1, done / total) : 1;
  const bar = '█'.repeat(Math.round(share * WIDTH)).padEnd(WIDTH, '░');
  const rate = seconds > 0.5 && unit === 'bytes' ? ` ${formatBytes(done / seconds)}/s` : '';
  const rest = share > 0.02 && share < 1 && seconds > 1 ? ` ${Math.ceil((seconds * (1 - share)) / share)} s left` : '';
  const count = unit === 'bytes' ? `${formatBytes(done)} of ${formatBytes(total)}` : `${done} of ${total} ${unit}`;
  return `${phase} ${bar} ${Math.floor(share * 100)}% ${count}${rate}${rest}${item ? ` ${item}` : ''}`;
}

/** `1.5 GB`, decimal units. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(value >= 10 ? 1 : 2)} ${units[unit]!}`;
}
