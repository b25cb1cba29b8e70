/** Entry of the thread that looks at graphs: one question, one answer. */
import { parentPort, workerData } from 'node:worker_threads';
import { isPenjingError, PenjingError } from '@penjing/core';
import { describeFile, graphFiles } from './graph-files.js';
import type { GraphAnswer, GraphQuestion } from './look-at-graphs.js';

async function answer(question: GraphQuestion): Promise<GraphAnswer> {
  try {
    return question.kind === 'list' ? { list: await graphFiles(question.path) } : { description: await describeFile(question.path, question.graph) };
  } catch (error) {
    const { code, message, hint } = isPenjingError(error) ? error : new PenjingError('E_INTERNAL', error instanceof Error ? error.message : String(error));
    return { error: { code, message, hint } };
  }
}

parentPort!.postMessage(await answer(workerData as GraphQuestion));
