/** A Blob or File (of a browser's file input, or Node's `openAsBlob`) as a byte source. */
import { type ByteSource, checkRange } from '@penjing/core';

let count = 0;

export function blobSource(blob: Blob, uri = `blob-source:${count++}`): ByteSource {
  const { size } = blob;
  return {
    uri,
    size,
    descriptor: { kind: 'memory', size },
    async read(offset, length) {
      checkRange(uri, size, offset, length);
      return new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer());
    },
  };
}
