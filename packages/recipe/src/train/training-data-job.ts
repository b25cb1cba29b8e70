/** Reads what a model is trained on in a thread of its own: tokens and columns take time and memory that grow with the data, and the calling thread has neither. */
import { type Job, type JobContext, jobModule, PenjingError, type Shelf, type ShelfReference, type TensorReference } from '@penjing/core';
import { splitTrainingData } from './split-training-data.js';
import { type ReadTrainingData, readTrainingData, type TrainedModel, type TrainingData, type TrainingReading } from './training-data.js';

export interface TrainingDataInput {
  readonly model: TrainedModel;
  readonly reading: TrainingReading;
  /** Paths. */
  readonly data: string;
  readonly validation: string | undefined;
  /** Every so-manieth sample is measured on, where nothing is given to measure on; below 2 none is. */
  readonly leaveOut: number;
  /** Where the columns are put, for as long as there is something to read in them. */
  readonly shelf: ShelfReference;
}

type Columns = Readonly<Record<string, TensorReference>>;

export interface TrainingDataOutput {
  readonly data: TrainingData;
  /** Of the data to measure on, where they are others. */
  readonly measuredHash: string | undefined;
  /** Samples to train on. */
  readonly size: number;
  readonly train: Columns;
  /** Undefined where nothing is left out. */
  readonly validation: Columns | undefined;
}

export const trainingDataJob: Job<TrainingDataInput, TrainingDataOutput> = { module: jobModule(import.meta.url, './training-data-job'), name: 'trainingDataJob', run: readParts };

/** Throws `E_DATA` for data to measure on that are of another kind, and what `readTrainingData` throws. */
async function readParts({ model, reading, data: path, validation, leaveOut, shelf: reference }: TrainingDataInput, { signal, onProgress, shelf: openShelf }: JobContext): Promise<TrainingDataOutput> {
  const options = { ...reading, ...(signal && { signal }), ...(onProgress && { onProgress }) };
  const read = await readTrainingData(model, { ...options, data: path });
  const measured = validation === undefined ? undefined : await readTrainingData(model, { ...options, data: validation });
  if (measured && (measured.task !== read.task || measured.scored !== read.scored)) throw new PenjingError('E_DATA', `${validation} has ${describeTask(measured)}, ${path} ${describeTask(read)}`);
  if (measured?.names?.join('\n') !== undefined && measured.names.join('\n') !== read.names?.join('\n')) throw new PenjingError('E_DATA', `${validation} has other classes than ${path}`);
  const parts = splitTrainingData(read, measured, leaveOut);
  const shelf = openShelf(reference);
  const { columns: _columns, ...data } = read;
  return { data, measuredHash: measured?.hash, size: parts.size, train: await putAside('train', parts.train, shelf), validation: parts.validation && (await putAside('validation', parts.validation, shelf)) };
}

const describeTask = ({ task, scored }: TrainingData): string => (scored ? `${task} with scores` : task);

async function putAside(part: string, columns: ReadTrainingData['columns'], shelf: Shelf): Promise<Columns> {
  const references: [string, TensorReference][] = [];
  for (const [name, column] of columns) {
    const place = `${part}/${name}`;
    await shelf.put(place, column);
    references.push([name, await shelf.refer(place)]);
  }
  return Object.fromEntries(references);
}
