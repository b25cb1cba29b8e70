/** Loads a written model with ONNX Runtime in a process of its own and prints how long it took and the peak memory. */
import { readFileSync } from 'node:fs';
import { ortEngine } from '@penjing/runtime';

const started = performance.now();
const executor = await ortEngine().loadFile(process.argv[2]!);
const seconds = (performance.now() - started) / 1000;
const peakMB = Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) / 1000;
console.log(JSON.stringify({ seconds: Number(seconds.toFixed(2)), peakMB: Math.round(peakMB), inputs: executor.inputs.length, outputs: executor.outputs.length }));
await executor[Symbol.asyncDispose]();
