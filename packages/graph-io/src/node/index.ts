/** @penjing/graph-io/node: files, the thread pool that streams weights, and output that appears whole or not at all. */
export { type FileSource, fileSource } from './file-source.js';
export { type ExternalFileSource, openExternalFile } from './external-file.js';
export { openFolder } from './folder.js';
