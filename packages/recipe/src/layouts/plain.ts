/** Graphs beside their configuration, as Optimum writes them. */
import { companionFiles, configFile, transformersJsPath } from '@penjing/graph-io';
import type { FolderLayout } from './folder-layout.js';

export const plainLayout: FolderLayout = {
  graph: (stem, dtype) => (dtype === undefined ? `${stem}_bf16.onnx` : transformersJsPath(stem, dtype).slice('onnx/'.length)),
  shared: 'config.json',
  companions: async ({ folder, adds }) => (adds ? [] : [await configFile(folder), ...(await companionFiles(folder))]),
};
