/** Text of a `--data` file: plain, or one JSON object with a `text` per line. */
import { readFile, stat } from 'node:fs/promises';
import { PenjingError } from '@penjing/core';

// Held in memory as a whole and tokenized at once; evaluation reads far less.
const MAX_TEXT_BYTES = 1 << 28;

/** Throws `E_DATA` for a file that is neither, naming the line. */
export async function readText(path: string): Promise<string> {
  const info = await stat(path).catch((cause: unknown) => {
    throw new PenjingError('E_NOT_FOUND', `the data ${path} is not there`, { cause });
  });
  if (!info.isFile()) throw new PenjingError('E_DATA', `the data ${path} is no file`, { hint: 'Give a .txt or .jsonl file.' });
  if (info.size > MAX_TEXT_BYTES) {
    throw new PenjingError('E_LIMIT', `${path} takes ${info.size} bytes`, { hint: `Give at most ${MAX_TEXT_BYTES} bytes of text.` });
  }
  const { utf8Text } = await import('@penjing/graph-io/data');
  const text = utf8Text(path, await readFile(path), { hint: 'Give a .txt or .jsonl file.' });
  if (!path.endsWith('.jsonl')) return text;
  return text
    .split('\n')
    .flatMap((line, i) => (line.trim() === '' ? [] : [lineText(line, `${path}:${i + 1}`)]))
    .join('\n');
}

function lineText(line: string, where: string): string {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw new PenjingError('E_DATA', `${where} is not JSON`, { cause, hint: 'Each line is {"text": "…"}.' });
  }
  const text = typeof value === 'object' && value !== null && 'text' in value ? value.text : undefined;
  if (typeof text !== 'string') throw new PenjingError('E_DATA', `${where} has no "text"`, { hint: 'Each line is {"text": "…"}.' });
  return text;
}
