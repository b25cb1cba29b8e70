/** @penjing/graph-io/node: files, the thread pool that streams weights, and output that appears whole or not at all. */
export { type FileSource, fileSource } from './file-source.js';
export { type ExternalFileSource, openExternalFile } from './external-file.js';
export { spawnWorker } from './spawn-worker.js';
export { poolMagnitudes } from './pool-magnitudes.js';
export { type Pool, type PoolOptions, type SaveThread, createPool } from './pool.js';
export type { Calls, WorkerGroup, WorkerSource } from './pool-protocol.js';
export { type SaveFolderOptions, type SaveOptions, type SaveResult, saveFile, saveLayouts } from './save-layouts.js';
export { type Manifest, type ManifestFile, MANIFEST_NAME, readManifest } from './manifest.js';
export { type WorkFolder, openWorkFolder } from './work-folder.js';
export { openFolder } from './folder.js';
export { TextOutput } from './text-output.js';
export { placeFile } from './place-file.js';
export { makeInside, writeSpill } from './spill.js';
export { type TensorData, hashTensorData, readTensorData, tensorData } from './tensor-data.js';
export { packageOf, packageVersions } from './package-versions.js';
export { ioError } from './io-error.js';
