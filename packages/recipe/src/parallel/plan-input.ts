/** A plan for a model on disk: opens it, lists the devices or measures this machine, plans, and draws. */
import { open } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, join } from 'node:path';
import { type Model, PenjingError, type TaskOptions } from '@penjing/core';
import type { DeviceList, Goal, Planned, PlanResult, Sizes } from '@penjing/parallel';
import { graphFiles } from '../inputs/model-folder.js';
import { openInput } from '../inputs/open-input.js';
import { checkReport, writeReport } from '../report/write-report.js';
import { planPage } from '../report/plan-page.js';
import { measureDevices } from './measure-devices.js';
import { measureModel } from './measure-model.js';
import { shareModel } from './share-model.js';
import { tryLayouts } from './try-layouts.js';

export interface PlanInputOptions extends Omit<TaskOptions, 'seed'> {
  /** A file of `penjing doctor --links`; this machine is measured when absent. */
  readonly devices?: string | undefined;
  readonly goal?: Goal | undefined;
  readonly sizes?: Sizes | undefined;
  /** Graph of a model that has several: `encoder_model`. */
  readonly graph?: string | undefined;
  /** Where a page goes. */
  readonly report?: string | undefined;
  /** Shards across hosts too. */
  readonly force?: boolean | undefined;
  /** Runs the model on one engine first; all devices must be of this machine. */
  readonly measure?: boolean | undefined;
  /** Runs so many of the layouts that are forecast to be the best, and ranks them by what they gave; all devices must be of this machine. */
  readonly tries?: number | undefined;
}

/** Throws `E_NOT_FOUND`, `E_PLAN` and `E_LIMIT` for files of devices, what opening the model throws, and what `plan` throws. */
export async function planInput(path: string, { devices, goal, sizes, graph, report, force, measure, tries = 0, signal, onProgress }: PlanInputOptions = {}): Promise<PlanResult> {
  const { completeSizes, planInDetail } = await import('@penjing/parallel');
  if (tries > 0 && goal === 'memory') throw new PenjingError('E_OPTION', 'running layouts says nothing of memory', { hint: 'Leave --try out, or plan for latency or throughput.' });
  if (report !== undefined) await checkReport(report);
  const task = { ...(signal && { signal }), ...(onProgress && { onProgress }) };
  const listed = devices === undefined ? undefined : await readDevicesFile(devices);
  const model = await openGraph(path, graph, signal);
  const list: DeviceList = listed ?? (await measureDevices(task));
  const runs = measure === true || tries > 0;
  if (runs) refuseOtherHosts(list, measure ? '--measure' : '--try');
  await using shared = runs ? shareModel(model, { file: await graphFile(path, graph), ...task }) : undefined;
  const file = shared?.file;
  const times = measure ? await measureModel(model, { devices: list.devices, sizes, file, ...task }) : undefined;
  const trials = tries > 0 && {
    most: tries,
    run: async (candidates: readonly Planned[]) => tryLayouts(model, { candidates, goal: goal ?? 'latency', sizes: completeSizes(model, sizes), devices: list.devices, file, ...task }),
  };
  const result = await planInDetail({
    model, devices: list.devices, links: list.links, name: basename(path), ...task,
    ...(goal && { goal }), ...(sizes && { sizes }), ...(times && { times }), ...(trials && { trials }), ...(force !== undefined && { force }),
  });
  if (report !== undefined) await writeReport(report, planPage(result));
  return result;
}

/** Times of this machine say nothing of another one. */
function refuseOtherHosts({ devices }: DeviceList, option: string): void {
  const here = hostname() || 'localhost';
  const other = devices.find(({ host, name }) => (host ?? name) !== here);
  if (other) throw new PenjingError('E_OPTION', `${other.name} is not of this machine (${here}): the model cannot run for it here`, { hint: `Leave ${option} out, or list the devices of this machine alone.` });
}

export async function readDevicesFile(path: string): Promise<DeviceList> {
  const { MAX_PLAN_BYTES, readDevices } = await import('@penjing/parallel');
  return readDevices(await readLimited(path, MAX_PLAN_BYTES), path);
}

/** Never more than `most` bytes in memory, whatever the file is. */
async function readLimited(path: string, most: number): Promise<string> {
  const file = await open(path).catch((cause: unknown) => {
    throw new PenjingError('E_NOT_FOUND', `${path} cannot be read`, { cause, hint: 'Write it with `penjing doctor --links -o devices.json`.' });
  });
  try {
    const info = await file.stat();
    if (!info.isFile()) throw new PenjingError('E_PLAN', `${path} is no regular file`);
    if (info.size > most) throw new PenjingError('E_LIMIT', `${path} is larger than ${most} bytes`);
    return (await file.readFile()).toString('utf8');
  } finally {
    await file.close();
  }
}

/** A graph of what stands at a path, converted where it must be. Throws `E_OPTION` when there are several and `name` names none of them. */
export async function openGraph(path: string, name?: string, signal?: AbortSignal): Promise<Model> {
  const input = await openInput(path);
  const graphs = await input.graphs({ signal });
  const names = [...graphs.keys()];
  const wanted = wantedOf(names, name);
  const model = wanted === undefined ? undefined : graphs.get(wanted);
  if (!model) throw new PenjingError('E_OPTION', name === undefined ? `${path} has several graphs` : `${path} has no graph ${name}`, { hint: `Name one of ${names.join(', ')} with --graph.` });
  return model;
}

/** The file that the graph of `openGraph` is as it lies there; none where it is converted first. */
async function graphFile(path: string, name?: string): Promise<string | undefined> {
  const { format } = await openInput(path);
  if (format === 'ONNX') return path;
  const files = format === 'model folder' ? await graphFiles(path) : new Map<string, string>();
  const file = files.get(wantedOf([...files.keys()], name) ?? '');
  return file === undefined ? undefined : join(path, file);
}

function wantedOf(names: readonly string[], name: string | undefined): string | undefined {
  return name ?? (names.length === 1 ? names[0]! : names.includes('model') ? 'model' : undefined);
}
