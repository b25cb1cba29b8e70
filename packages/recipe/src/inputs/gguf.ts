/** A GGUF file of llama.cpp, or the first or any of its shards. */
import { basename, dirname, join } from 'node:path';
import { isPenjingError } from '@penjing/core';
import { convertHuggingFaceGraphs, ggufShardNames, ggufToHuggingFace, type GgufValue, type HuggingFaceFolder, openGgufShards, type Task } from '@penjing/graph-io';
import { fileSource, openFolder } from '@penjing/graph-io/node';
import { countNames, conversionFacts, describeTensors, entriesOf } from './describe.js';
import type { Input, InputFormat } from './input.js';

export const ggufInput: InputFormat = {
  files: ['gguf'],
  async open(path): Promise<Input> {
    const names = ggufShardNames(basename(path));
    const file = await openGgufShards(await Promise.all(names.map((name) => fileSource(join(dirname(path), name)))));
    // Files with a vocabulary alone, and architectures that do not convert, can still be looked at.
    const model = await ggufToHuggingFace(file, path, openFolder(dirname(path))).catch((error: unknown) => {
      if (isPenjingError(error)) return error;
      throw error;
    });
    const converted = (): HuggingFaceFolder => {
      if (isPenjingError(model)) throw model;
      return model;
    };
    return {
      format: 'GGUF',
      path,
      ...(!isPenjingError(model) && { folder: model.folder }),
      accepts: ['dtype', 'attention', 'opset', 'task', 'blocks'],
      graphs: async ({ dtype, attention, opset, task, blocks }) => convertHuggingFaceGraphs(converted(), { dtype, attention, opset, blocks, task: task as Task | undefined }),
      checkpoint: () => Promise.resolve(file.checkpoint),
      inspect(options) {
        const weights = entriesOf(file.checkpoint.tensors);
        const facts = [...file.metadata].map(([name, value]) => ({ name, value: show(value) }));
        const types = countNames([...file.tensors.values()].map(({ type }) => ({ name: type.name, known: () => true })));
        const stored = { name: 'tensor types', value: types.map(({ name, count }) => `${name} ${count}`).join(', ') || '—' };
        return Promise.resolve(describeTensors('GGUF', weights, [...facts, stored, ...conversionFacts(weights)], options));
      },
    };
  },
};

/** Vocabularies are lists of 100,000 texts: their length says enough. */
function show(value: GgufValue): string {
  if (typeof value === 'object') {
    const list = Array.from(value as ArrayLike<GgufValue>, String);
    return list.length > 8 ? `${list.length} values` : `[${list.join(', ')}]`;
  }
  const text = String(value);
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}
