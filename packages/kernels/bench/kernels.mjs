/**
 * Throughput of every kernel on one thread, over data in the arena: `node bench/kernels.mjs [plain] [filter]`, after `pnpm build`.
 * Best of several runs of at least 50 ms of processor time (other processes do not count) over matrices that do not fit the second-level cache.
 */
import { plainKernels, wasmKernels } from '../dist/index.js';

const arguments_ = process.argv.slice(2);
const usePlain = arguments_[0] === 'plain';
const filter = arguments_[usePlain ? 1 : 0] ?? '';
const kernels = usePlain ? plainKernels({ arenaBytes: 2 ** 27 }) : wasmKernels({ arenaBytes: 2 ** 27 });
const rows = 1024;
const cols = 4096;
const count = rows * cols;

const at = (ctor, length) => new ctor(kernels.arena.buffer, kernels.arena.alloc(length * ctor.BYTES_PER_ELEMENT).byteOffset, length);
const f32 = at(Float32Array, count);
for (let i = 0; i < count; i++) f32[i] = (Math.random() + Math.random() + Math.random() - 1.5) * 0.05;
const other = at(Float32Array, count);
const words = { bfloat16: at(Uint16Array, count), float16: at(Uint16Array, count), float32: f32 };
kernels.fromFloat32('bfloat16', f32, words.bfloat16);
kernels.fromFloat32('float16', f32, words.float16);
const codes = at(Uint8Array, count);
const packed = at(Uint8Array, count / 2);
const scales = at(Float32Array, count / 32);
const zeroPoints = at(Uint8Array, count / 32);

function measure(name, bytes, run) {
  if (!name.includes(filter)) return;
  for (let i = 0; i < 3; i++) run();
  let best = Infinity;
  for (let round = 0; round < 5; round++) {
    let calls = 0;
    const start = process.cpuUsage();
    let elapsed = 0;
    while (elapsed < 50) {
      run();
      calls++;
      const { user, system } = process.cpuUsage(start);
      elapsed = (user + system) / 1e3;
    }
    best = Math.min(best, elapsed / calls);
  }
  const millions = count / best / 1e3;
  console.log(`${name.padEnd(44)} ${millions.toFixed(0).padStart(6)} M elements/s ${((bytes * millions) / 1e3).toFixed(1).padStart(6)} GB/s in and out`);
}

for (const srcDtype of ['bfloat16', 'float16', 'float32']) {
  const width = srcDtype === 'float32' ? 4 : 2;
  for (const [bits, layout, symmetric, blockSize, stats] of [
    [4, 'nbits', true, 32, true], [4, 'nbits', true, 32, false], [4, 'nbits', false, 32, true], [4, 'nbits', true, 128, true], [4, 'nbits', true, 16, true],
    [2, 'nbits', true, 32, true], [8, 'nbits', true, 32, true], [4, 'linear', true, 32, true], [8, 'linear', false, 32, true],
  ]) {
    const out = layout === 'linear' ? 1 : bits / 8;
    const blocks = count / blockSize;
    const zeros = symmetric ? undefined : zeroPoints.subarray(0, layout === 'linear' ? blocks : (blocks * bits) / 8);
    const scalesOut = blocks > scales.length ? other.subarray(0, blocks) : scales.subarray(0, blocks);
    const name = `quantize ${srcDtype} ${bits} bits ${layout} b${blockSize} ${symmetric ? 'sym' : 'asym'}${stats ? '' : ' no stats'}`;
    measure(name, width + out + 4 / blockSize, () => {
      kernels.quantizeBlocks({
        src: words[srcDtype], srcDtype, rows, cols, bits, blockSize, symmetric, layout, stats,
        values: codes.subarray(0, count * out), scales: scalesOut, scaleDtype: 'float32', zeroPoints: zeros,
      });
    });
  }
}
const loose = { src: words.bfloat16.slice(), values: new Uint8Array(count / 2), scales: new Float32Array(count / 32) };
measure('quantize bfloat16 4 bits, outside the arena', 2.625, () => {
  kernels.quantizeBlocks({ ...loose, srcDtype: 'bfloat16', rows, cols, bits: 4, blockSize: 32, symmetric: true, layout: 'nbits', scaleDtype: 'float32' });
});
for (const [bits, layout] of [[4, 'nbits'], [2, 'nbits'], [8, 'nbits'], [8, 'linear']]) {
  const out = layout === 'linear' ? 1 : bits / 8;
  measure(`dequantize ${bits} bits ${layout} b32`, 4 + out, () => {
    kernels.dequantizeBlocks({
      dst: other, rows, cols, bits, blockSize: 32, symmetric: true, layout, values: codes.subarray(0, count * out), scales, scaleDtype: 'float32',
    });
  });
}
for (const dtype of ['bfloat16', 'float16']) {
  measure(`${dtype} to float32`, 6, () => kernels.toFloat32(dtype, words[dtype], other));
  measure(`float32 to ${dtype}`, 6, () => kernels.fromFloat32(dtype, f32, words[dtype]));
}
const outside = { src: words.bfloat16.slice(), dst: new Float32Array(count) };
measure('bfloat16 to float32, outside the arena', 6, () => kernels.toFloat32('bfloat16', outside.src, outside.dst));
for (const dtype of ['float8e4m3fn', 'float8e5m2']) {
  measure(`${dtype} to float32`, 5, () => kernels.toFloat32(dtype, codes, other));
  measure(`float32 to ${dtype}`, 5, () => kernels.fromFloat32(dtype, f32, codes));
}
for (const bits of [4, 2]) {
  const bytes = packed.subarray(0, (count * bits) / 8);
  measure(`pack ${bits} bits`, 1 + bits / 8, () => kernels.pack(bits, codes, bytes));
  measure(`unpack ${bits} bits`, 1 + bits / 8, () => kernels.unpack(bits, true, bytes, codes));
}
const raw = (array) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
measure('transpose 4 bytes', 8, () => kernels.transpose2d(raw(f32), raw(other), rows, cols, 4));
measure('transpose 2 bytes', 4, () => kernels.transpose2d(raw(words.bfloat16), raw(words.float16), rows, cols, 2));
measure('transpose 1 byte', 2, () => kernels.transpose2d(codes, raw(words.float16).subarray(0, count), rows, cols, 1));
measure('transpose 2 bytes, outside the arena', 4, () => kernels.transpose2d(raw(outside.src), raw(outside.dst).subarray(0, 2 * count), rows, cols, 2));
measure('minMax', 4, () => kernels.minMax(f32));
for (const [codec, blockBytes] of [['Q8_0', 34], ['Q4_0', 18]]) {
  const blocks = at(Uint8Array, (count / 32) * blockBytes);
  measure(`encode ${codec}`, 4 + blockBytes / 32, () => kernels.encodeBlocks({ codec, src: f32, dst: blocks }));
  measure(`decode ${codec}`, 4 + blockBytes / 32, () => kernels.decodeBlocks({ codec, src: blocks, dst: other }));
}
measure('errorStats', 8, () => kernels.errorStats(f32, other));
measure('cosine', 8, () => kernels.cosine(f32, other));
measure('argMax', 4, () => kernels.argMax(f32));
measure('klDivergence', 8, () => kernels.klDivergence(f32, f32));
