/** Language models that memory cannot hold: block after block over all windows of a text, what flows between them on disk. */
import { freemem } from 'node:os';
import { DenseTensor, denseOf, type Feeds, type Model, PenjingError, type TaskOptions, tensorType, type Value, type ValueInfo } from '@penjing/core';
import { countBlocks, type LastBlock, runToLastBlock } from '@penjing/core/calibrate';
import { weightFacts, withCheckedFile } from '../engine/model-source.js';
import { runsElsewhere } from '../engine/runs-elsewhere.js';
import { providersOf, type SessionOptions } from '../engine/settings.js';
import { ortJobs } from '../jobs/ort-jobs.js';
import { locateModel, readLanguageConfig } from '../model-folder.js';
import { type ModelReference, unknownLanguage } from '../open-reference.js';
import { type DecoderLayout, decoderLayout, hasLogits } from '../worker/decoder-layout.js';
import type { SessionValue } from '../worker/wire-types.js';
import { type LanguageOptions, languageScores, type LanguageScores, predictedTokens, type ReadingModel, windowsFor } from './language.js';
import { isRowwise } from './rowwise.js';
import { type ScoredBlock, scoreJob } from './score-job.js';
import { textTokensJob } from './text-tokens-job.js';
import type { TokenWindow } from './text-windows.js';

/** Of the memory that is free, what a model may take before it is run in parts: sessions copy weights, and other work goes on. */
const SHARE = 0.7;

export interface LayeredModel {
  readonly name: string;
  readonly bytes: number;
  /** Parts that were run one after the other. */
  readonly blocks: number;
}

export interface LayeredScores {
  readonly models: readonly LayeredModel[];
  readonly scores: LanguageScores;
}

export interface ByLayerOptions extends Pick<TaskOptions, 'signal'>, Pick<SessionOptions, 'device' | 'providers'> {
  readonly byLayer?: boolean;
  readonly labelled?: unknown;
  readonly feeds?: unknown;
}

/** Whether models are run layer by layer: as the caller says, else where they take more than there is room for. Throws `E_OPTION` where that cannot be. */
export async function runsByLayer(references: readonly ModelReference[], { byLayer, labelled, feeds, signal, ...where }: ByLayerOptions): Promise<boolean> {
  const text = labelled === undefined && feeds === undefined;
  if (byLayer === true && !text) throw new PenjingError('E_OPTION', 'samples are not measured layer by layer, text is', { hint: 'Give a text, or leave out byLayer.' });
  const elsewhere = byLayer !== false && text && (await runsElsewhere(providersOf(where), signal));
  if (byLayer === true && elsewhere) throw new PenjingError('E_OPTION', 'a model is run layer by layer on the CPU alone', { hint: 'Leave out the device, or byLayer.' });
  if (byLayer !== undefined || !text || elsewhere) return byLayer ?? false;
  let bytes = 0;
  let decoders = true;
  for (const reference of references) {
    await withGraph(reference, signal, async (graph) => {
      bytes += graph.bytes;
      // where there is nothing to cut between layers, trying the whole is all that is left
      decoders &&= hasLogits(graph.reading.inputs, graph.reading.outputs) && countBlocks(graph.model, ['logits']) > 1;
    });
  }
  // what a container may take can be less than what the machine has
  return decoders && bytes > SHARE * Math.min(freemem(), process.availableMemory?.() ?? Infinity);
}

/**
 * The figures of `scoreLanguage`, with one block of one model in memory at a time. Throws `E_LAYOUT` for models that are no decoders, `E_UNSUPPORTED` for those that
 * cannot be cut, or that have values between blocks which Node cannot hand over (bfloat16).
 */
export async function scoreByLayer(references: readonly ModelReference[], options: LanguageOptions & SessionOptions & TaskOptions): Promise<LayeredScores> {
  const { signal } = options;
  await using jobs = ortJobs({ ...(options.threads !== undefined && { threads: options.threads }) });
  return await withGraphs(references, signal, async (graphs) => {
    const layouts = graphs.map(({ reading: { inputs, outputs } }) => decoderLayout(inputs, outputs));
    const [a, b] = graphs;
    const { windows, data } = await windowsFor(a!.reading, b?.reading, options, (text) => jobs.run(textTokensJob, text, signal ? { signal } : {}));
    const parts: LastBlock[] = [];
    for (const [i, graph] of graphs.entries()) {
      const part = await runToLastBlock(graph.model, {
        jobs, samples: windows.map((window) => windowFeeds(layouts[i]!, window)), outputs: ['logits'],
        ...(signal && { signal }),
        onProgress: (progress) => options.onProgress?.({ ...progress, item: `layer by layer${graphs.length > 1 ? `, ${graph.name}` : ''}` }),
      });
      if (part.blocks === 1) throw new PenjingError('E_UNSUPPORTED', `${graph.name} cannot be run layer by layer: there is no place between two layers where it can be cut`, { hint: 'Convert it anew with `penjing convert`, or measure it as a whole.' });
      parts.push(part);
    }
    // What is prepared, and the shelves, end with the host of jobs.
    const blocks: ScoredBlock[] = [];
    for (const { model, shelf, inputs } of parts) {
      const { kind, reference } = await jobs.prepare(model, signal ? { signal } : {});
      blocks.push({ model: { kind, reference }, shelf, inputs, rowwise: isRowwise(model) });
    }
    const total = predictedTokens(windows);
    const sums = await jobs.run(scoreJob, { a: blocks[0]!, b: blocks[1], windows, vocabSize: layouts[0]!.vocabSize ?? a!.reading.language?.vocabSize }, {
      ...(signal && { signal }),
      onProgress: ({ done }) => options.onProgress?.({ phase: 'score', done, total, unit: 'tokens' }),
    });
    return { models: graphs.map(({ name, bytes }, i) => ({ name, bytes, blocks: parts[i]!.blocks })), scores: languageScores(sums, b !== undefined, data) };
  });
}

type BorderValue = SessionValue & ValueInfo;

interface OpenedGraph {
  readonly model: Model;
  readonly name: string;
  readonly bytes: number;
  readonly reading: Pick<ReadingModel, 'language' | 'folder'> & { readonly inputs: readonly BorderValue[]; readonly outputs: readonly BorderValue[] };
}

async function withGraphs<T>(references: readonly ModelReference[], signal: AbortSignal | undefined, body: (graphs: readonly OpenedGraph[]) => Promise<T>, opened: readonly OpenedGraph[] = []): Promise<T> {
  const [first, ...others] = references;
  return first === undefined ? body(opened) : withGraph(first, signal, (graph) => withGraphs(others, signal, body, [...opened, graph]));
}

/** Its files stay open until `body` ends. */
async function withGraph<T>(reference: ModelReference, signal: AbortSignal | undefined, body: (graph: OpenedGraph) => Promise<T>): Promise<T> {
  if (typeof reference === 'object' && 'graph' in reference) {
    return body({ model: reference, name: reference.graph.name || 'model', bytes: weightFacts(reference).bytes, reading: { language: unknownLanguage, folder: undefined, ...borders(reference) } });
  }
  const { path: given, variant } = typeof reference === 'string' ? { path: reference, variant: undefined } : reference;
  const { path, folder } = await locateModel(given, variant);
  const language = await readLanguageConfig(folder);
  return withCheckedFile(path, signal, ({ model, bytes }) => body({ model, name: path, bytes, reading: { language, folder, ...borders(model) } }));
}

/** Inputs and outputs as a session would tell them. */
function borders({ graph }: Model): Pick<OpenedGraph['reading'], 'inputs' | 'outputs'> {
  const told = (values: readonly Value[]): BorderValue[] => values.filter(({ tensor }) => !tensor).map(({ name, type }) => {
    const { dtype, shape } = type?.kind === 'tensor' ? type : tensorType();
    return { name, type: type ?? tensorType(), ...(dtype && { dtype }), ...(shape && { shape: shape.map((dim) => dim ?? null) }) };
  });
  return { inputs: told(graph.inputs), outputs: told(graph.outputs) };
}

/** What a decoder reads of a window, from an empty cache; its last token is only a target. */
function windowFeeds({ cache, optional }: DecoderLayout, { tokens }: TokenWindow): Feeds {
  const length = tokens.length - 1;
  const row = (values: ArrayLike<number>): DenseTensor => denseOf('int64', [1, length], Array.from(values));
  const others: Readonly<Record<string, () => DenseTensor>> = {
    attention_mask: () => row(new Int32Array(length).fill(1)),
    position_ids: () => row(Int32Array.from({ length }, (_, i) => i)),
    token_type_ids: () => row(new Int32Array(length)),
    // 0 means all of them
    num_logits_to_keep: () => denseOf('int64', [], [0]),
    use_cache_branch: () => new DenseTensor('bool', [1], Uint8Array.of(0)),
  };
  const feeds: Record<string, DenseTensor> = { input_ids: row(tokens.subarray(0, length)) };
  for (const name of optional) feeds[name] = others[name]!();
  for (const { past, dtype, heads, headDim } of cache) feeds[past] = new DenseTensor(dtype, [1, heads, 0, headDim], new Uint8Array(0));
  return feeds;
}
