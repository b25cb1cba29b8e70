/**
 * GGUF: how fast blocks are decoded and repacked (one thread, by its processor time, so that neighbours count less), and
 * the conversion of a synthetic model of several GB on two threads with its peak memory.
 *
 *     npx tsx --conditions=@penjing/source bench/gguf.ts [--gigabytes 4] [--type Q4_K] [--folder /tmp]
 */
import { closeSync, ftruncateSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { convertHuggingFace, ggufToHuggingFace, openGguf, serializeOnnx } from '@penjing/graph-io';
import { createPool, fileSource, saveLayouts } from '@penjing/graph-io/node';
import { type BlockCodecName, blockCodecs, wasmKernels } from '@penjing/kernels';
import { gguf, ggufBytes } from '../tests/support/gguf-bytes.js';

const { values: options } = parseArgs({
  options: {
    gigabytes: { type: 'string', default: '4' }, type: { type: 'string', default: 'Q4_K' }, folder: { type: 'string', default: tmpdir() },
    out: { type: 'string', default: 'bench/results/gguf.json' },
  },
});

/** GB of blocks per second of processor time. */
function kernelSpeed(codec: BlockCodecName): { decode: number; repack: number } {
  const { blockSize, blockBytes, subSize, bits, corrected } = blockCodecs[codec];
  const kernels = wasmKernels({ arenaBytes: 48 * 2 ** 20 });
  const count = Math.floor(2 ** 20 / blockBytes);
  const src = kernels.arena.alloc(count * blockBytes);
  for (let i = 0; i < src.length; i++) src[i] = (Math.imul(i, 2654435761) >>> 15) & 63;
  const floats = (length: number): Float32Array => {
    const bytes = kernels.arena.alloc(length * 4);
    return new Float32Array(bytes.buffer, bytes.byteOffset, length);
  };
  const dst = floats(count * blockSize);
  const subs = (count * blockSize) / subSize;
  const args = {
    codec, src, values: kernels.arena.alloc((count * blockSize * bits) / 8), scales: floats(subs), ...(corrected && { correction: floats(subs) }),
  };
  const speed = (run: () => void): number => {
    for (let i = 0; i < 5; i++) run();
    const before = process.cpuUsage();
    for (let rounds = 1; ; rounds++) {
      run();
      const { user, system } = process.cpuUsage(before);
      if (user + system > 150_000) return (src.length * rounds) / ((user + system) * 1000);
    }
  };
  return { decode: speed(() => kernels.decodeBlocks({ codec, src, dst })), repack: speed(() => kernels.repackBlocks(args)) };
}

/** A Llama of zeros: the file is sparse, so that writing it costs nothing and reading it needs no disk. */
function sparseModel(path: string, codec: BlockCodecName, bytes: number): number {
  const { blockBytes, blockSize } = blockCodecs[codec];
  const [hidden, inner, vocabulary] = [4096, 11_008, 32_000];
  const code = { Q4_0: 2, Q8_0: 8, Q4_K: 12, Q6_K: 14, Q5_K: 13 }[codec as 'Q4_K'];
  const sizeOf = (rows: number, cols: number): number => ((rows * cols) / blockSize) * blockBytes;
  const perLayer = 4 * sizeOf(hidden, hidden) + 3 * sizeOf(inner, hidden);
  const layers = Math.ceil(bytes / perLayer);
  const tensors: [name: string, rows: number, cols: number][] = [['token_embd', vocabulary, hidden], ['output', vocabulary, hidden], ['output_norm', 1, hidden]];
  for (let i = 0; i < layers; i++) {
    for (const name of ['attn_q', 'attn_k', 'attn_v', 'attn_output']) tensors.push([`blk.${i}.${name}`, hidden, hidden]);
    tensors.push([`blk.${i}.ffn_gate`, inner, hidden], [`blk.${i}.ffn_up`, inner, hidden], [`blk.${i}.ffn_down`, hidden, inner]);
    tensors.push([`blk.${i}.attn_norm`, 1, hidden], [`blk.${i}.ffn_norm`, 1, hidden]);
  }
  let data = 0;
  const infos = tensors.map(([name, rows, cols]) => {
    const info = gguf.info(`${name}.weight`, rows === 1 ? [cols] : [cols, rows], rows === 1 ? 0 : code, data);
    data += rows === 1 ? cols * 4 : sizeOf(rows, cols);
    return info;
  });
  const u32 = (key: string, value: number): Uint8Array => gguf.pair(`llama.${key}`, 4, gguf.u32(value));
  const head = ggufBytes({
    pairs: [
      gguf.pair('general.architecture', 8, gguf.string('llama')), gguf.pair('llama.attention.layer_norm_rms_epsilon', 6, gguf.f32(1e-5)),
      u32('block_count', layers), u32('context_length', 4096), u32('embedding_length', hidden), u32('feed_forward_length', inner), u32('attention.head_count', 32),
    ],
    infos,
  });
  const file = openSync(path, 'w');
  writeSync(file, head);
  ftruncateSync(file, head.length + data);
  closeSync(file);
  return data;
}

const peakMB = (): number => Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? 0) / 1024;

const codec = options.type as BlockCodecName;
const path = join(options.folder, `penjing-gguf-${process.pid}.gguf`);
const output = `${path}-out`;
try {
  const bytes = sparseModel(path, codec, Number(options.gigabytes) * 1e9);
  const folder = await ggufToHuggingFace(await openGguf(await fileSource(path)), path);
  const started = performance.now();
  const cpu = process.cpuUsage();
  await using pool = createPool({ threads: 2 });
  await saveLayouts(output, serializeOnnx(await convertHuggingFace(folder), { name: 'model.onnx' }), { pool });
  const seconds = (performance.now() - started) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  const conversion = {
    type: codec, gigabytes: bytes / 1e9, seconds, gigabytesPerSecond: bytes / 1e9 / seconds, processorSeconds: (user + system) / 1e6,
    gigabytesPerSecondOfTwoFreeCores: (2 * bytes) / 1e9 / ((user + system) / 1e6), peakMB: peakMB(), loadAverage: loadavg()[0],
  };
  console.log(conversion);
  rmSync(output, { recursive: true });
  const names = Object.keys(blockCodecs) as BlockCodecName[];
  const kernels = Object.fromEntries(names.map((name) => [name, kernelSpeed(name)]));
  console.table(kernels);
  await mkdir('bench/results', { recursive: true });
  const machine = `${cpus()[0]?.model}, ${availableParallelism()} cores, Node ${process.version}`;
  await writeFile(options.out, `${JSON.stringify({ machine, conversion, kernels }, undefined, 2)}\n`);
} finally {
  rmSync(path, { force: true });
  rmSync(output, { recursive: true, force: true });
}
