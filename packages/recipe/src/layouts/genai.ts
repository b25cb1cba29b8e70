/** The folder that onnxruntime-genai runs. */
import { PenjingError } from '@penjing/core';
import { GENAI_GRAPH, genaiFiles } from '@penjing/graph-io';
import type { FolderLayout } from './folder-layout.js';

export const genaiLayout: FolderLayout = {
  graph: () => GENAI_GRAPH,
  companions({ folder, graphs }) {
    const [graph, ...more] = graphs;
    if (graph && more.length === 0) return genaiFiles(folder, graph.model.graph);
    throw new PenjingError('E_TASK', 'onnxruntime-genai runs decoders, and this model becomes several graphs', { hint: 'Use another --layout.' });
  },
};
