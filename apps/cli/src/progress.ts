/** Progress on stderr: one moving line on a terminal, a plain line every few seconds otherwise. */
import type { Progress } from '@penjing/core';

export interface ProgressView {
  readonly update: (progress: Progress) => void;
  /** Clears the moving line so that other text can follow. */
  readonly clear: () => void;
}

/** Characters of the bar: all of them where there is room, none below the fewest. */
const BAR = { most: 28, fewest: 6 };
const TERMINAL_MS = 80;
const PLAIN_MS = 5000;

export function createProgressView(stream: NodeJS.WriteStream, quiet: boolean): ProgressView {
  if (quiet) return { update: () => {}, clear: () => {} };
  const terminal = stream.isTTY;
  let last = 0;
  let shown = false;
  let phase = '';
  let begun = { at: performance.now(), share: 0 };
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
        // A run that goes on does not begin at nothing.
        begun = { at: now, share: shareOf(progress) };
        last = 0;
      }
      const finished = progress.done >= progress.total;
      if (now - last < (terminal ? TERMINAL_MS : PLAIN_MS) && !(terminal && finished)) return;
      last = now;
      const since = { seconds: (now - begun.at) / 1000, share: begun.share };
      if (!terminal) return void stream.write(`${describe(progress, since)}\n`);
      stream.write(`\r\x1b[K${describe(progress, since, (stream.columns || 80) - 1)}`);
      shown = true;
    },
  };
}

/** Of a phase: how long it has lasted, and how far it was when it began. */
interface Since {
  readonly seconds: number;
  readonly share: number;
}

const shareOf = ({ done, total }: Progress): number => (total > 0 ? Math.min(1, done / total) : 1);

/** Where there is little room the bar gets shorter, then what is counted goes, the time that is left, and the end of the item, in this order. */
function describe(progress: Progress, since: Since, width = Infinity): string {
  const { phase, done, total, unit, item } = progress;
  const share = shareOf(progress);
  const { seconds } = since;
  const speed = seconds > 0.5 && unit === 'bytes' ? ` ${formatBytes(done / seconds)}/s` : '';
  const count = unit === 'bytes' ? `${formatBytes(done)} of ${formatBytes(total)}${speed}` : `${done} of ${total} ${unit}`;
  const gone = share - since.share;
  const rest = gone > 0.02 && share < 1 && seconds > 1 ? `${Math.ceil((seconds * (1 - share)) / gone)} s left` : '';
  const line = (...parts: readonly string[]): string => parts.filter((part) => part !== '').join(' ');
  const percent = `${Math.floor(share * 100)}%`;
  const whole = line(phase, percent, count, rest, item ?? '');
  const bar = Math.min(BAR.most, width - whole.length - 1);
  if (bar >= BAR.fewest) return line(phase, '█'.repeat(Math.round(share * bar)).padEnd(bar, '░'), percent, count, rest, item ?? '');
  const fitting = [whole, line(phase, percent, rest, item ?? ''), line(phase, percent, item ?? count)];
  return (fitting.find(({ length }) => length <= width) ?? fitting.at(-1)!).slice(0, width);
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
