/** What a student is taught by: the losses of published recipes as tables, on the values that its graph and its teacher's have in common. */
import { cloneModel, inferShapes, type Model, PenjingError, type Value } from '@penjing/core';
import { residualLayers } from '@penjing/core/rewrite';
import { cosineDistance, crossEntropy, type Loss, makeTrainable, meanSquare, relativeSquare, softTargets, weightedSum } from '@penjing/distill';
import { openInput } from '../inputs/open-input.js';
import { embeddingLoss } from './embedding-lesson.js';
import { addProjection } from './projection.js';
import type { LessonOf } from './train-model.js';
import { scoresOf, type TrainingData } from './training-data.js';
import { type LossWeights, lossWeights, type TeachingFields } from './teaching-fields.js';

/** Throws `E_OPTION` for a teacher of other classes, and for losses on layers or heads that the two do not have. */
export function teachingLesson(fields: TeachingFields): LessonOf {
  return async (student, data, jobs) => {
    const weights = lossWeights(fields);
    const teachers: Model[] = [];
    const digests: string[] = [];
    for (const path of fields.teachers) {
      const model = await onlyGraph(path);
      digests.push((await jobs.digest?.(model)) ?? path);
      const { model: form } = await makeTrainable(cloneModel(model));
      inferShapes(form);
      teachers.push(form);
    }
    inferShapes(student);
    const { loss, outputs } = data.task === 'pairs' || data.task === 'texts' ? embeddingLoss(student, teachers, data, { ...fields, weights }) : lossOf(student, teachers, data, weights);
    // Labels alone: nobody is asked.
    const teacher = Object.keys(outputs).length > 0 ? { models: teachers, outputs, cache: fields.cacheTeacher === true } : undefined;
    return { loss, teacher, key: JSON.stringify([weights, digests]) };
  };
}

async function onlyGraph(path: string): Promise<Model> {
  const [model, ...others] = [...(await (await openInput(path)).graphs({})).values()];
  if (model && others.length === 0) return model;
  throw new PenjingError('E_OPTION', `the teacher ${path} becomes several graphs; one can teach`);
}

function lossOf(student: Model, teachers: readonly Model[], data: TrainingData, weights: LossWeights): { loss: Loss; outputs: Record<string, string> } {
  const [first] = teachers;
  if (!first) throw new PenjingError('E_OPTION', 'there is no teacher');
  const terms: (readonly [number, Loss])[] = [];
  const outputs: Record<string, string> = {};
  const mask = masked(student, data) ? { mask: 'attention_mask' } : {};
  if (weights.soft > 0) {
    const names = teachers.map((teacher) => scoresOf(teacher));
    for (const { classes } of names) if (classes !== data.classes) throw new PenjingError('E_OPTION', `the teacher tells ${classes} classes or tokens apart, the student ${data.classes}`, { hint: 'Both must have the same classes, or the same vocabulary.' });
    if (names.some(({ name }) => name !== names[0]!.name)) throw new PenjingError('E_OPTION', 'the outputs of the teachers are called otherwise', { hint: 'Teachers that are averaged are of one kind.' });
    for (const teacher of teachers) expose(teacher, names[0]!.name);
    outputs[names[0]!.name] = `teacher/${data.logits}`;
    terms.push([weights.soft, softTargets({ logits: data.logits, temperature: weights.temperature })]);
  }
  if (weights.hard > 0) terms.push([weights.hard, crossEntropy({ logits: data.logits })]);
  if (weights.hidden > 0) {
    const pairs = layerPairs(student, first, weights.layers);
    const match = { squares: meanSquare, relative: relativeSquare, cosine: cosineDistance }[weights.hiddenBy];
    for (const [value, taught] of pairs) {
      for (const teacher of teachers) expose(teacher, taught);
      outputs[taught] = `teacher/${value}`;
      const [width, wide] = [widthOf(valueOf(student, value)), widthOf(valueOf(first, taught))];
      const projection = width === wide ? undefined : addProjection(student, value, width, wide);
      terms.push([weights.hidden / pairs.length, match({ value, teacher: `teacher/${value}`, ...mask, ...(projection !== undefined && { projection }) })]);
    }
  }
  if (weights.attention > 0) {
    const pairs = attentionPairs(student, first);
    for (const [value, taught] of pairs) {
      for (const teacher of teachers) expose(teacher, taught);
      outputs[taught] = `teacher/${value}`;
      terms.push([weights.attention / pairs.length, meanSquare({ value, teacher: `teacher/${value}` })]);
    }
  }
  return { loss: weightedSum(terms), outputs };
}

/** Whether some samples are filled up behind a mask. */
function masked(student: Model, { task }: TrainingData): boolean {
  return task === 'classes' && student.graph.inputs.some(({ name, type }) => name === 'attention_mask' && type?.kind === 'tensor' && type.shape?.length === 2);
}

/** Names of hidden states of the student, and of its teacher: what goes out of the last layer of both, or of each with the one at the same depth, or what their heads read. */
function layerPairs(student: Model, teacher: Model, which: LossWeights['layers']): [string, string][] {
  if (which === 'head') return [[readByHead(student), readByHead(teacher)]];
  const [ours, theirs] = [student, teacher].map((model) => residualLayers(model).map(({ output }) => output)) as [string[], string[]];
  if (ours.length === 0 || theirs.length < ours.length) throw new PenjingError('E_OPTION', `the student has ${ours.length} layers that can be matched, its teacher ${theirs.length}`, { hint: 'Leave --hidden at 0, or choose the preset hinton or minitron.' });
  const pairs = ours.map((name, i): [string, string] => [name, theirs[Math.round(((i + 1) * theirs.length) / ours.length) - 1]!]);
  return which === 'last' ? pairs.slice(-1) : pairs;
}

/** What the product that ends in the scores is taken of, (batch, tokens, width). */
function readByHead(model: Model): string {
  let value: Value | undefined = valueOf(model, scoresOf(model).name);
  while (value?.producer && !PRODUCTS.has(value.producer.opType)) value = value.producer.input(0);
  const states = value?.producer?.input(0);
  if (!states || shapeOf(states)?.length !== 3) throw new PenjingError('E_OPTION', 'what the head of the model reads is not found', { hint: 'The preset states is for language models; leave --hidden at 0, or choose distilbert.' });
  return states.name;
}
const PRODUCTS = new Set(['MatMul', 'FusedMatMul', 'Gemm']);

/** Maps of attention, (batch, heads, tokens, tokens): probabilities, which no mask makes infinite. */
function attentionPairs(student: Model, teacher: Model): [string, string][] {
  const maps = (model: Model): Value[] => [...model.graph.nodes()].filter(({ opType }) => opType === 'Softmax').map((node) => node.output()).filter((value) => shapeOf(value)?.length === 4);
  const [ours, theirs] = [maps(student), maps(teacher)];
  const heads = (value: Value | undefined): unknown => value && shapeOf(value)?.[1];
  if (ours.length === 0 || theirs.length < ours.length || heads(ours[0]) !== heads(theirs[0])) throw new PenjingError('E_OPTION', `the student has ${ours.length} maps of attention of ${String(heads(ours[0]))} heads, its teacher ${theirs.length} of ${String(heads(theirs[0]))}`, { hint: 'Leave --attention at 0.' });
  return ours.map((value, i) => [value.name, theirs[Math.round(((i + 1) * theirs.length) / ours.length) - 1]!.name]);
}

const shapeOf = ({ type }: Value): readonly unknown[] | undefined => (type?.kind === 'tensor' ? type.shape : undefined);

function widthOf(value: Value): number {
  const width = shapeOf(value)?.at(-1);
  if (typeof width !== 'number') throw new PenjingError('E_SHAPE', `the width of ${value.name} is not known`);
  return width;
}

function valueOf({ graph }: Model, name: string): Value {
  for (const node of graph.nodes()) for (const value of node.outputs) if (value.name === name) return value;
  throw new PenjingError('E_OPTION', `the teacher has no value ${name}`, { hint: 'Teachers that are averaged are of one kind.' });
}

/** Makes a value an output. */
function expose(model: Model, name: string): void {
  const { outputs } = model.graph;
  if (!outputs.some((output) => output.name === name)) outputs.push(valueOf(model, name));
}
