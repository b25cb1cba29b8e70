import { readNumbers } from '../packages/graph-io/src/v2/json-numbers.js';
import { splitJson } from '../packages/graph-io/src/v2/split-json.js';
import { decodeInferRequest } from '@penjing/graph-io/v2';
const f = Float32Array.from({ length: 784 }, (_, i) => Math.fround(Math.sin(i)));
const text = '[' + f.join(',') + ']'; const bytes = new Uint8Array(Buffer.from(text));
const whole = Buffer.from(`{"inputs":[{"name":"x","shape":[1,1,28,28],"datatype":"FP32","data":${text}}]}`);
const out = new Float32Array(784);
console.log(readNumbers(bytes, 0, bytes.length, [1, 1, 28, 28], out), out.every((v, i) => Object.is(v, f[i])), bytes.length);
function time(name: string, n: number, fn: () => void) { for (let i = 0; i < n; i++) fn(); let best = Infinity; for (let k = 0; k < 7; k++) { const c = process.cpuUsage(); for (let i = 0; i < n; i++) fn(); const d = process.cpuUsage(c); best = Math.min(best, (d.user + d.system) / n); } console.log(name, best.toFixed(1)); }
time('readNumbers', 3000, () => readNumbers(bytes, 0, bytes.length, [1, 1, 28, 28], out));
time('split', 3000, () => splitJson(whole, 'inputs'));
time('JSON.parse', 3000, () => JSON.parse(text));
time('decode', 3000, () => decodeInferRequest(whole));
