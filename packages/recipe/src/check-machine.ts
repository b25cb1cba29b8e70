/** Whether this machine can do the work: versions, kernels, runtime, memory, disk. */
import { mkdtemp, open, rm, statfs } from 'node:fs/promises';
import { availableParallelism, cpus, freemem, platform, arch, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { denseOf, GraphBuilder, isPenjingError, Model, tensorType } from '@penjing/core';
import { plainKernels, wasmKernels } from '@penjing/kernels';
import { loadRuntime } from './load-runtime.js';

export interface MachineCheck {
  readonly name: string;
  readonly ok: boolean;
  readonly value: string;
  /** What to do when it is not ok. */
  readonly hint?: string;
}

export interface MachineReport {
  readonly ok: boolean;
  readonly checks: readonly MachineCheck[];
}

const MIN_NODE = [20, 19] as const;
const MIN_MEMORY = 1e9;
const GIGABYTE = 1e9;

export async function checkMachine(options: { readonly signal?: AbortSignal } = {}): Promise<MachineReport> {
  const checks: MachineCheck[] = [];
  for (const check of [nodeVersion, processors, memory, disk, kernels, onnxRuntime, globalTools]) {
    options.signal?.throwIfAborted();
    const result = await check();
    if (result) checks.push(result);
  }
  return { ok: checks.every(({ ok }) => ok), checks };
}

function nodeVersion(): MachineCheck {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const ok = major > MIN_NODE[0] || (major === MIN_NODE[0] && minor >= MIN_NODE[1]);
  return { name: 'Node', ok, value: process.version, hint: `Install Node ${MIN_NODE.join('.')} or newer.` };
}

function processors(): MachineCheck {
  return { name: 'processors', ok: true, value: `${availableParallelism()} × ${cpus()[0]?.model.trim() ?? 'unknown'} (${platform()} ${arch()})` };
}

function memory(): MachineCheck {
  const free = freemem();
  const value = `${(free / GIGABYTE).toFixed(1)} GB free of ${(totalmem() / GIGABYTE).toFixed(1)} GB`;
  return { name: 'memory', ok: free >= MIN_MEMORY, value, hint: 'Close other programs: conversions want about 600 MB.' };
}

/** Space where the user stands, and how fast it takes synced bytes. */
async function disk(): Promise<MachineCheck> {
  const { bavail, bsize } = await statfs('.');
  const free = bavail * bsize;
  const folder = await mkdtemp(join(tmpdir(), 'penjing-doctor-'));
  try {
    const file = await open(join(folder, 'probe'), 'w');
    const block = new Uint8Array(16 * 2 ** 20);
    const started = performance.now();
    for (let i = 0; i < 4; i++) await file.write(block);
    await file.sync();
    const rate = (4 * block.length) / ((performance.now() - started) / 1000);
    await file.close();
    return { name: 'disk', ok: free > GIGABYTE, value: `${(free / GIGABYTE).toFixed(0)} GB free here, writes ${(rate / GIGABYTE).toFixed(2)} GB/s (synced)`, hint: 'Free some space.' };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Rounds the same block by both implementations. */
function kernels(): MachineCheck {
  const src = Float32Array.from({ length: 4096 }, (_, i) => Math.sin(i) * (i % 7));
  const round = (implementation: ReturnType<typeof plainKernels>): string => {
    const values = new Uint8Array(2048);
    const scales = new Float32Array(128);
    implementation.quantizeBlocks({ rows: 64, cols: 64, bits: 4, blockSize: 32, symmetric: true, layout: 'nbits', src, srcDtype: 'float32', values, scales, scaleDtype: 'float32' });
    return `${values.join()} ${scales.join()}`;
  };
  try {
    const ok = round(wasmKernels({ arenaBytes: 2 ** 20 })) === round(plainKernels());
    return { name: 'kernels', ok, value: ok ? 'SIMD WebAssembly, equal to the plain ones' : 'SIMD WebAssembly differs from the plain ones', hint: 'Please report this with the processor named above.' };
  } catch (error) {
    return { name: 'kernels', ok: false, value: `no SIMD WebAssembly: ${String(error)}`, hint: 'Node was built without WebAssembly SIMD; the plain kernels are slower.' };
  }
}

/** Runs y = x + x, which needs the native library, a worker thread and the binding. */
async function onnxRuntime(): Promise<MachineCheck> {
  const started = performance.now();
  try {
    const { ortEngine } = await loadRuntime();
    const model = new Model();
    model.opsetImports.set('', 21);
    const b = new GraphBuilder(model.graph);
    const x = b.input('x', tensorType('float32', [1]));
    b.output(b.op('Add', [x, x]), 'y', tensorType('float32', [1]));
    await using executor = await ortEngine().load(model);
    const { y } = await executor.run({ x: denseOf('float32', [1], [21]) });
    const ok = y?.kind === 'dense' && y.data[0] === 42;
    const value = ok ? `runs, ready in ${(performance.now() - started).toFixed(0)} ms` : 'gives a wrong sum';
    return { name: 'ONNX Runtime', ok, value, hint: 'Reinstall onnxruntime-node.' };
  } catch (error) {
    const message = isPenjingError(error) ? error.message : String(error);
    return { name: 'ONNX Runtime', ok: false, value: message, hint: 'npm install @penjing/runtime; on Linux a glibc system is needed.' };
  }
}

/** Penjing needs no Python; said here because other tools do. */
function globalTools(): MachineCheck {
  return { name: 'Python', ok: true, value: 'not needed' };
}
