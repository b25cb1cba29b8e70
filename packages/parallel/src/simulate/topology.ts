/** Devices and links as the simulator sees them: what is busy, what is between two places, and who slows whom down. */
import { PenjingError } from '@penjing/core';
import { type DeviceSpeed, interpolate, speedOf } from '../cost/roofline.js';
import type { CallerSpeed, Device, Link } from '../plan/device.js';
import type { Hop } from './collective.js';
import type { Contention, SimResource } from './simulate.js';

/** A message between threads of one host, where no link says otherwise: tensors move by transfer, so their size hardly matters. */
const INSIDE_A_HOST: Hop = { latency: 30e-6, bandwidth: 20e9 };
/** Stands for any device or host in a link. */
const ANY = '*';

export interface Topology {
  readonly devices: readonly Device[];
  /** Devices first, then threads that call and directions of links, which are added as they are used. */
  readonly resources: SimResource[];
  readonly contention: Contention;
  device(name: string): Device;
  hostOf(device: string): string;
  /** Indices of the devices that an engine on `device` with `threads` keeps busy: as many more of its host as it takes. */
  occupies(device: string, threads: number | undefined): readonly number[];
  /** Of a device with `threads`, all its cores when absent. */
  speed(device: string, threads?: number): DeviceSpeed;
  hop(from: string, to: string): Hop;
  /** The thread that calls the engines of the host of a device: its resource and what it costs. */
  caller(device: string): { readonly resource: number; readonly speed: CallerSpeed } | undefined;
  /** Seconds of a sum over devices of one host, where that was measured. */
  sumSeconds(device: string, bytes: number): number | undefined;
  /** The resource of the way from one device to another; undefined inside a host, where nothing queues. */
  way(from: string, to: string): number | undefined;
}

/** Throws `E_PLAN` for devices of the same name, and later for unknown ones and for places without a link between them. */
export function topology(devices: readonly Device[], links: readonly Link[]): Topology {
  const index = new Map(devices.map(({ name }, i) => [name, i]));
  if (index.size < devices.length) throw new PenjingError('E_PLAN', 'two devices have the same name');
  const resources: SimResource[] = devices.map(({ name, host }) => ({ name, ...(host !== undefined && { host }) }));
  const ways = new Map<string, number>();
  const callers = new Map<string, number>();
  const found = new Map<string, Hop>();
  const byEnds = new Map(links.flatMap((link) => [[`${link.to}\n${link.from}`, link] as const]));
  for (const link of links) byEnds.set(`${link.from}\n${link.to}`, link);
  const members = new Map<string, number[]>();
  devices.forEach(({ host, name }, i) => members.set(host ?? name, [...(members.get(host ?? name) ?? []), i]));

  const device = (name: string): Device => {
    const at = index.get(name);
    if (at === undefined) throw new PenjingError('E_PLAN', `the layout names the device ${name}, which is not listed`, { hint: `The devices are ${[...index.keys()].slice(0, 8).join(', ')}.` });
    return devices[at]!;
  };
  const hostOf = (name: string): string => device(name).host ?? name;
  const hop = (from: string, to: string): Hop => {
    const key = `${from}\n${to}`;
    const known = found.get(key);
    if (known) return known;
    const ends = (name: string): string[] => [name, hostOf(name), ANY];
    const link = ends(from).flatMap((a) => ends(to).map((b) => byEnds.get(`${a}\n${b}`))).find((each) => each !== undefined);
    const result = link ?? (hostOf(from) === hostOf(to) ? INSIDE_A_HOST : undefined);
    if (!result) throw new PenjingError('E_PLAN', `no link leads from ${from} to ${to}`, { hint: 'List the link between the two devices or their hosts.' });
    found.set(key, result);
    return result;
  };
  return {
    devices, resources, device, hostOf, hop,
    contention: contentionOf(devices, members),
    speed: (name, threads) => speedOf(device(name), threads, members.get(hostOf(name))!.length),
    caller(name) {
      const speed = device(name).measured?.caller;
      if (!speed) return undefined;
      const host = hostOf(name);
      const known = callers.get(host) ?? resources.push({ name: `calls on ${host}`, host }) - 1;
      callers.set(host, known);
      return { resource: known, speed };
    },
    sumSeconds(name, bytes) {
      const ladder = device(name).measured?.sums;
      const [most, seconds] = ladder?.at(-1) ?? [0, 0];
      // Beyond what was measured every byte costs the same.
      return ladder && (most > 0 && bytes > most ? (seconds * bytes) / most : interpolate(ladder, bytes));
    },
    occupies(name, threads) {
      const own = index.get(device(name).name)!;
      const taken = [own];
      let cores = devices[own]!.cores ?? 1;
      for (const other of members.get(hostOf(name))!) {
        if (cores >= (threads ?? 0)) break;
        if (other === own) continue;
        taken.push(other);
        cores += devices[other]!.cores ?? 1;
      }
      return taken;
    },
    way(from, to) {
      if (hostOf(from) === hostOf(to) && hop(from, to) === INSIDE_A_HOST) return undefined;
      const key = `${from} → ${to}`;
      const known = ways.get(key) ?? resources.push({ name: key }) - 1;
      ways.set(key, known);
      return known;
    },
  };
}

/** Between one busy device of a host and all of them it gets worse evenly; threads in excess of the cores take turns. */
function contentionOf(devices: readonly Device[], members: ReadonlyMap<string, readonly number[]>): Contention {
  return (host, active) => {
    const all = members.get(host) ?? [];
    const computing = active.filter(({ uses }) => uses[0]! < devices.length);
    const cores = all.reduce((sum, index) => sum + (devices[index]!.cores ?? 1), 0);
    const wanted = active.reduce((sum, { uses }) => sum + uses.reduce((each, use) => each + (use < devices.length ? (devices[use]!.cores ?? 1) : 1), 0), 0);
    return { crowded: all.length <= 1 ? 0 : Math.min(1, Math.max(0, computing.length - 1) / (all.length - 1)), slower: Math.max(1, wanted / cores) };
  };
}
