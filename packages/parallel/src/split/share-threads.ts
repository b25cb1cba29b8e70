/** How many threads the engines of a layout get, so that they do not fight for the cores. */
import type { Device } from '../plan/device.js';
import type { Layout } from '../plan/plan.js';

/** The devices of a layout, once for every engine that will be there. */
export function enginesOf(layout: Layout): string[] {
  switch (layout.kind) {
    case 'device': return [layout.device];
    case 'data': return layout.replicas.flatMap(enginesOf);
    case 'pipeline': return layout.stages.flatMap((stage) => enginesOf(stage.layout));
    case 'tensor': return [...layout.devices];
    case 'tasks': return layout.parts.flatMap((part) => enginesOf(part.layout));
  }
}

/**
 * Threads of an engine by device: its cores over the engines on it, or all cores of the machine over all engines where a device does not say; at least one. What a layout says of a device itself comes first.
 */
export function shareThreads(layout: Layout, devices: readonly Device[], machineCores: number): (device: string) => number {
  const engines = enginesOf(layout);
  return (name) => {
    const cores = devices.find((device) => device.name === name)?.cores;
    const [total, sharing] = cores === undefined ? [machineCores, engines.length] : [cores, engines.filter((other) => other === name).length];
    return Math.max(1, Math.floor(total / Math.max(1, sharing)));
  };
}
