/** What a model folder is for, by its configuration. */
import { readFile, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { isPenjingError, PenjingError } from '@penjing/core';
import { openHuggingFaceConfig, supportedClasses } from '@penjing/graph-io';
import { openFolder } from '@penjing/graph-io/node';

/** As the hub of Hugging Face names tasks. */
export const taskNames = [
  'sentence-similarity', 'text-ranking', 'text-classification', 'token-classification', 'fill-mask', 'image-classification', 'image-feature-extraction', 'automatic-speech-recognition',
  'voice-activity-detection', 'zero-shot-classification', 'zero-shot-image-classification', 'question-answering',
] as const;
export type TaskName = (typeof taskNames)[number];

/** Names that mean the same to who runs a model. */
const SAME: Readonly<Record<string, TaskName>> = { 'feature-extraction': 'sentence-similarity' };

/** The task that is asked for, or that of the folder: of classes and of labels that are `given` with them, what both are for. Throws `E_OPTION` for a name that is none, `E_TASK` where the folder does not tell. */
export async function findTask(path: string, asked: string | undefined, given: { readonly labels?: boolean } = {}): Promise<TaskName> {
  if (asked !== undefined) {
    const name = SAME[asked] ?? asked;
    if (isTask(name)) return name;
    throw new PenjingError('E_OPTION', `--task ${asked} is not run here`, { hint: `Tasks: ${taskNames.join(', ')}. Text is written by \`penjing generate\`.` });
  }
  const folder = await folderOf(path);
  const className = await classOf(folder);
  const [first] = supportedClasses().find((row) => row.className === className)?.tasks ?? [];
  if (className !== undefined && (await hasPooling(folder))) return 'sentence-similarity';
  const name = first === undefined ? undefined : (SAME[first] ?? first);
  if (name === 'text-classification' && given.labels) return 'zero-shot-classification';
  if (name !== undefined && isTask(name)) return name;
  throw new PenjingError('E_TASK', `${path} does not tell what it is for${className === undefined ? '' : `: ${className}`}`, { hint: `Say it with --task: ${taskNames.join(', ')}. Text is written by \`penjing generate\`.` });
}

function isTask(name: string): name is TaskName {
  return (taskNames as readonly string[]).includes(name);
}

/** That with the configuration of an ONNX file, or the folder itself. */
async function folderOf(path: string): Promise<string> {
  const info = await stat(path).catch((cause: unknown) => {
    throw new PenjingError('E_NOT_FOUND', `${path} does not exist`, { cause });
  });
  if (info.isDirectory()) return path;
  const parent = dirname(path);
  return basename(parent) === 'onnx' ? dirname(parent) : parent;
}

async function classOf(folder: string): Promise<string | undefined> {
  try {
    return (await openHuggingFaceConfig(openFolder(folder))).architecture || undefined;
  } catch (error) {
    if (isPenjingError(error) && error.code === 'E_FORMAT') return undefined;
    throw error;
  }
}

async function hasPooling(folder: string): Promise<boolean> {
  return readFile(join(folder, 'modules.json'), 'utf8').then((text) => /Pooling"/.test(text), () => false);
}
