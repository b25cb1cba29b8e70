/** RIFF WAVE: integers of 8 to 32 bits and floats; channels are averaged. */
import { PenjingError } from '@penjing/core';
import { type DataSource, dataSource, type Sound } from './data-source.js';
import { hashOf } from './read-bounded.js';

const PCM = 1;
const FLOAT = 3;
const EXTENSIBLE = 0xfffe;

export function isWave(head: Uint8Array): boolean {
  return text(head, 0) === 'RIFF' && text(head, 8) === 'WAVE';
}

export function openWave(path: string, bytes: Uint8Array): DataSource {
  const sound = readWave(path, bytes);
  return dataSource({ format: 'wav', count: 1, hash: hashOf(bytes), item: async () => ({ kind: 'sound', sound }) });
}

/** Throws `E_DATA` for chunks that reach beyond the file and encodings other than plain numbers. */
export function readWave(path: string, bytes: Uint8Array): Sound {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const broken = (why: string): PenjingError => new PenjingError('E_DATA', `${path}: ${why}`, { hint: 'Save it as a WAV file of 16-bit integers.' });
  if (!isWave(bytes)) throw broken('it is no WAV file');
  let format: { code: number; channels: number; rate: number; bits: number } | undefined;
  for (let at = 12; at + 8 <= bytes.length; ) {
    const id = text(bytes, at);
    // Writers to a pipe leave the size of the last chunk at its largest.
    const size = Math.min(view.getUint32(at + 4, true), bytes.length - at - 8);
    const start = at + 8;
    if (id === 'fmt ') {
      if (size < 16) throw broken('its format is cut short');
      const code = view.getUint16(start, true);
      format = { code: code === EXTENSIBLE && size >= 26 ? view.getUint16(start + 24, true) : code, channels: view.getUint16(start + 2, true), rate: view.getUint32(start + 4, true), bits: view.getUint16(start + 14, true) };
    } else if (id === 'data') {
      if (!format) throw broken('its data stands before its format');
      const { code, channels, rate, bits } = format;
      const read = readers[`${code} ${bits}`];
      if (!read || channels < 1 || rate < 1) throw broken(`encoding ${code} of ${bits} bits in ${channels} channels is not read`);
      const width = bits / 8;
      const frames = Math.floor(size / (width * channels));
      const samples = new Float32Array(frames);
      for (let i = 0; i < frames; i++) {
        let sum = 0;
        for (let c = 0; c < channels; c++) sum += read(view, start + (i * channels + c) * width);
        samples[i] = sum / channels;
      }
      return { rate, samples };
    }
    at = start + size + (size % 2);
  }
  throw broken('it has no data');
}

const readers: Readonly<Record<string, (view: DataView, at: number) => number>> = {
  [`${PCM} 8`]: (view, at) => (view.getUint8(at) - 128) / 128,
  [`${PCM} 16`]: (view, at) => view.getInt16(at, true) / 2 ** 15,
  [`${PCM} 24`]: (view, at) => (view.getUint8(at) + view.getInt16(at + 1, true) * 256) / 2 ** 23,
  [`${PCM} 32`]: (view, at) => view.getInt32(at, true) / 2 ** 31,
  [`${FLOAT} 32`]: (view, at) => view.getFloat32(at, true),
  [`${FLOAT} 64`]: (view, at) => view.getFloat64(at, true),
};

function text(bytes: Uint8Array, at: number): string {
  return String.fromCharCode(...bytes.subarray(at, at + 4));
}
