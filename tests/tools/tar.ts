/** The files of a .tar.gz in memory: enough of the format for our test archives (plain files, GNU and pax long names). */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

export function readTarGz(path: string): Map<string, Buffer> {
  const tar = gunzipSync(readFileSync(path));
  const files = new Map<string, Buffer>();
  let longName: string | undefined;
  for (let at = 0; at + 512 <= tar.length && tar[at] !== 0; ) {
    const header = tar.subarray(at, at + 512);
    const size = parseInt(text(header, 124, 12), 8) || 0;
    const body = tar.subarray(at + 512, at + 512 + size);
    const type = String.fromCharCode(header[156]!);
    const prefix = text(header, 345, 155);
    const name = longName ?? (prefix ? `${prefix}/` : '') + text(header, 0, 100);
    longName = undefined;
    if (type === 'L') longName = text(body, 0, body.length);
    else if (type === 'x') longName = /^\d+ path=(.*)$/m.exec(body.toString())?.[1];
    else if (type === '0' || type === '\0') files.set(name.replace(/^\.\//, ''), body);
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return files;
}

function text(bytes: Buffer, start: number, length: number): string {
  const field = bytes.subarray(start, start + length);
  const end = field.indexOf(0);
  return field.toString('utf8', 0, end === -1 ? length : end);
}
