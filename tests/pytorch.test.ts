/** PyTorch files: every kind that torch writes, real ones, hostile ones, and mutations of all of them. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Checkpoint, isPenjingError, lazy, memorySource, type SparseTensor, type Tensor, typedView } from '@penjing/core';
import { openExportedProgram, openPytorch, openPytorchIndex, openSafetensors, readOnnx, sniffFormat } from '@penjing/graph-io';
import { fileSource } from '@penjing/graph-io/node';
import { zipBytes } from '../packages/graph-io/src/pytorch/testing/zip-bytes.js';
import { openZip } from '../packages/graph-io/src/pytorch/zip.js';
import { readTarGz } from './tools/tar.js';
import { testData } from './tools/test-data.js';

const FIXTURES = fileURLToPath(new URL('./fixtures/torch', import.meta.url));
const fixture = (name: string): Uint8Array => readFileSync(join(FIXTURES, name));
const open = (bytes: Uint8Array, options?: Parameters<typeof openPytorch>[1]): Promise<Checkpoint> => openPytorch(memorySource(bytes), options);
const recorded = (name: string): Promise<Checkpoint> => openSafetensors(memorySource(fixture(`${name}.safetensors`)));

const floats = async (tensor: Tensor): Promise<Float32Array> => typedView('float32', await lazy.cast(tensor, 'float32').load()) as Float32Array;

async function expectSame(got: Checkpoint, wanted: Checkpoint): Promise<void> {
  expect([...got.tensors.keys()].sort()).toEqual([...wanted.tensors.keys()].sort());
  for (const [name, tensor] of wanted.tensors) await expectEqual(name, got.tensors.get(name)!, tensor);
}

async function expectEqual(name: string, got: Tensor, wanted: Tensor): Promise<void> {
  expect([name, got.dtype, [...got.shape]]).toEqual([name, wanted.dtype, [...wanted.shape]]);
  expect(Buffer.from(await got.load()).equals(await wanted.load()), name).toBe(true);
}

describe('files of torch.save', () => {
  test.each(['dtypes', 'views', 'protocol4', 'tensor', 'list', 'arrays', 'parameter', 'training', 'legacy', 'tar'])('%s', async (name) => {
    await expectSame(await open(fixture(`${name}.pt`)), await recorded(name));
  });

  test('quantized tensors come dequantized, to the last bit but one', async () => {
    const [got, wanted] = [await open(fixture('quantized.pt')), await recorded('quantized')];
    expect([...got.tensors.keys()].sort()).toEqual([...wanted.tensors.keys()].sort());
    for (const [name, tensor] of wanted.tensors) {
      const [a, b] = await Promise.all([got.tensors.get(name)!, tensor].map(floats));
      // torch multiplies and adds in one step on some processors.
      b!.forEach((value, i) => expect(Math.abs(a![i]! - value)).toBeLessThanOrEqual(Math.abs(value) * 2 ** -22));
    }
  });

  test('or as integers with scales', async () => {
    const { tensors } = await open(fixture('quantized.pt'), { quantized: 'parts' });
    expect(tensors.get('per_channel')).toMatchObject({ dtype: 'int8', shape: [4, 3, 2] });
    const scales = tensors.get('per_channel.scale')!;
    expect(scales).toMatchObject({ dtype: 'float32', shape: [4] });
    expect(await floats(scales)).toEqual(Float32Array.of(0.011, 0.02, 0.007, 0.03));
    expect(typedView('int64', await tensors.get('per_channel.zero_point')!.load())).toEqual(BigInt64Array.of(0n, 3n, -5n, 0n));
    expect(tensors.get('unsigned')).toMatchObject({ dtype: 'uint8' });
    expect(tensors.get('unsigned.scale')!.shape).toEqual([]);
    expect([...tensors.keys()]).toContain('plain');
  });

  test('sparse tensors stay sparse', async () => {
    const [got, wanted] = [await open(fixture('sparse.pt')), await recorded('sparse')];
    const sparse = got.tensors.get('coo') as SparseTensor;
    expect(sparse.shape).toEqual([3, 4]);
    await expectEqual('values', sparse.values, wanted.tensors.get('values')!);
    await expectEqual('indices', sparse.indices, wanted.tensors.get('indices')!);
  });

  test('tensors that share their memory are one', async () => {
    const { tensors } = await open(fixture('views.pt'));
    expect(tensors.get('tied')).toBe(tensors.get('base'));
  });

  test('the weights are found beside an optimizer, or where the key says', async () => {
    const bytes = fixture('training.pt');
    expect([...(await open(bytes)).tensors.keys()]).toEqual(['layer1.weight', 'layer1.bias', 'layer2.weight', 'layer2.bias']);
    const all = await open(bytes, { key: '' });
    expect([...all.tensors.keys()]).toContain('state_dict.layer1.weight');
    const optimizer = await open(bytes, { key: 'optimizer.state.0' });
    expect([...optimizer.tensors.keys()]).toEqual(['step', 'exp_avg', 'exp_avg_sq']);
    await expect(open(bytes, { key: 'ema' })).rejects.toMatchObject({ code: 'E_KEY', hint: expect.stringContaining('optimizer, state_dict') as string });
    await expect(open(bytes, { key: 'sizes' })).rejects.toMatchObject({ code: 'E_WEIGHTS' });
  });

  test('shards are tied together by their index', async () => {
    const map = { 'tensor': 'a.bin', 'base': 'b.bin', 'columns': 'b.bin' };
    const index = memorySource(new TextEncoder().encode(JSON.stringify({ weight_map: map })));
    const files: Record<string, string> = { 'a.bin': 'tensor.pt', 'b.bin': 'views.pt' };
    const got = await openPytorchIndex(index, async (name) => memorySource(fixture(files[name]!)));
    expect([...got.tensors].map(([name, { shape }]) => [name, shape])).toEqual([['tensor', [3]], ['base', [4, 6]], ['columns', [4, 3]]]);
  });
});

describe('hostile files', () => {
  const verdicts: Readonly<Record<string, readonly [code: string, named: string]>> = {
    os_system: ['E_UNSAFE', 'os.system'],
    posix_system: ['E_UNSAFE', 'posix.system'],
    builtins_eval: ['E_UNSAFE', 'builtins.eval'],
    subprocess: ['E_UNSAFE', 'subprocess.check_output'],
    torch_load_url: ['E_UNSAFE', 'torch.hub.load_state_dict_from_url'],
    reduce_chain: ['E_UNSAFE', 'os.path.join'],
    laughs: ['E_LIMIT', 'values'],
    deep: ['E_LIMIT', 'nested'],
    storage_beyond: ['E_TRUNCATED', 'storage of w has 16 bytes, its pickle says 4096'],
    shape_beyond: ['E_TRUNCATED', 'w ends at element'],
    cut: ['E_PICKLE', 'ends before'],
  };
  test.each(Object.entries(verdicts))('%s is refused by name', async (name, [code, named]) => {
    const pickles = await openZip(memorySource(fixture('hostile-pickles.zip')));
    const data = await pickles.read(name);
    const bytes = zipBytes([{ name: 'x/data.pkl', data }, { name: 'x/data/0', data: new Uint8Array(16) }], { align: 64 });
    const start = performance.now();
    await expect(open(bytes)).rejects.toThrow(expect.objectContaining({ code, message: expect.stringContaining(named) as string }) as Error);
    expect(performance.now() - start).toBeLessThan(3000);
    expect(existsSync('penjing-was-here')).toBe(false);
  });

  test('every hostile pickle has its verdict', async () => {
    const pickles = await openZip(memorySource(fixture('hostile-pickles.zip')));
    expect([...pickles.entries.keys()].sort()).toEqual(Object.keys(verdicts).sort());
  });

  test('a compressed storage is refused, a compressed pickle is read', async () => {
    const { deflateRawSync } = await import('node:zlib');
    const sound = await openZip(memorySource(fixture('tensor.pt')));
    const parts = async (compress: string): Promise<Uint8Array> =>
      zipBytes(await Promise.all([...sound.entries.keys()].map(async (name) => {
        const data = await sound.read(name);
        return { name, data, deflated: name.endsWith(compress) ? deflateRawSync(data) : undefined };
      })));
    await expectSame(await open(await parts('data.pkl')), await recorded('tensor'));
    await expect(open(await parts('data/0'))).rejects.toThrow(/data\/0 .* is compressed/);
  });

  test('mutations of sound files are read or refused in words', async () => {
    for (const name of ['views.pt', 'quantized.pt', 'legacy.pt', 'tar.pt', 'arrays.pt', 'sparse.pt']) {
      const sound = fixture(name);
      // The first half is where the pickle is.
      const place = fc.oneof(fc.nat(sound.length - 1), fc.nat(sound.length >> 1));
      await fc.assert(fc.asyncProperty(fc.array(fc.tuple(place, fc.nat(255)), { maxLength: 4 }), fc.nat(4 * sound.length), async (edits, cut) => {
        const bytes = sound.slice(0, cut < sound.length ? cut : sound.length);
        for (const [at, value] of edits) if (at < bytes.length) bytes[at] = value;
        try {
          const { tensors } = await open(bytes);
          for (const tensor of tensors.values()) if (tensor.kind !== 'sparse' && tensor.byteLength < 1e6) await tensor.load();
        } catch (error) {
          if (!isPenjingError(error)) throw error;
        }
      }), { numRuns: 150 });
    }
  });
});

describe.skipIf(!testData)('real files', () => {
  const path = (name: string): string => join(testData!, name);
  const load = async (name: string): Promise<Checkpoint> => openPytorch(await fileSource(path(name)));

  test('every one opens, and its tensors load', async () => {
    const names = readdirSync(testData ?? '', { recursive: true }).map(String).filter((name) => /\.(pt|pth|th|bin|jit|pt2)$/.test(name)).sort();
    const opened: Record<string, number> = {};
    for (const name of names) {
      const source = await fileSource(path(name));
      const format = sniffFormat(await source.read(0, Math.min(source.size, 512)), source.size);
      if (format !== 'pytorch' && format !== 'pickle') continue;
      const program = name.endsWith('.pt2') ? await openExportedProgram(source) : undefined;
      const tensors = program ? new Map([...program.weights, ...program.constants]) : (await openPytorch(source)).tensors;
      opened[name] = tensors.size;
      for (const tensor of tensors.values()) if (tensor.kind !== 'sparse') expect((await tensor.load()).byteLength).toBe(tensor.byteLength);
    }
    // Files of other formats end in .bin too.
    expect(names.filter((name) => !(name in opened)).every((name) => name.endsWith('.bin'))).toBe(true);
    expect(opened).toMatchObject({
      'models/mnist/burn-mnist.pt': 20, 'models/resnet20-cifar10/resnet20_full_module.pt': 116, 'models/resnet20-cifar10/resnet20_traced.torchscript.pt': 116,
      'models/resnet20-cifar10/resnet20-12fca82f.th': 97, 'models/silero-vad/silero_vad.jit': 32, 'models/ultraface/version-RFB-320.pth': 244,
      'models/stories260k/pytorch_model.bin': 48, 'torch-format/candle_test_with_key.pt': 1,
    });
  });

  test('the quantized ResNet is what torch dequantizes', async () => {
    const got = await load('models/resnet20-cifar10/resnet20_quantized_tensors.pt');
    const wanted = await openSafetensors(await fileSource(path('models/resnet20-cifar10/resnet20_quantized_tensors_dequantized.safetensors')));
    for (const [name, tensor] of wanted.tensors) {
      const [a, b] = await Promise.all([got.tensors.get(name)!, tensor].map(floats));
      b!.forEach((value, i) => expect(Math.abs(a![i]! - value)).toBeLessThanOrEqual(Math.abs(value) * 2 ** -22));
    }
  });

  test('the weights of three ResNet files are the same', async () => {
    const [legacy, module, script] = await Promise.all(['resnet20-12fca82f.th', 'resnet20_full_module.pt', 'resnet20_traced.torchscript.pt'].map((name) => load(`models/resnet20-cifar10/${name}`)));
    for (const [name, tensor] of legacy!.tensors) {
      const bare = name.replace('module.', '');
      if (bare.startsWith('linear')) continue;
      for (const other of [module!, script!]) await expectEqual(bare, other.tensors.get(bare)!, tensor);
    }
  });

  test('those of a language model are those of its safetensors file', async () => {
    const wanted = await openSafetensors(await fileSource(path('models/stories260k/hf/model.safetensors')));
    const got = await load('models/stories260k/pytorch_model.bin');
    for (const [name, tensor] of wanted.tensors) await expectEqual(name, got.tensors.get(name)!, tensor);
    expect(got.tensors.get('lm_head.weight')).toBe(got.tensors.get('model.embed_tokens.weight'));
  });

  test('those of a legacy face detector are the initializers of its ONNX file', async () => {
    const { tensors } = await load('models/ultraface/version-RFB-320.pth');
    const model = await readOnnx(await fileSource(path('models/ultraface/version-RFB-320.onnx')));
    let count = 0;
    for (const [name, { tensor: wanted }] of model.graph.initializers) {
      const tensor = tensors.get(name);
      if (!tensor) continue;
      await expectEqual(name, tensor, wanted!);
      count++;
    }
    expect(count).toBeGreaterThan(200);
  });

  test('one file of every element type', async () => {
    const expected: Readonly<Record<string, readonly [dtype: string, values: readonly number[]]>> = {
      bfloat16: ['bfloat16', [1.5, -2.5, 3.5]], bool: ['bool', [1, 0, 1, 1, 0]], float16: ['float16', [1.5, -2.25, 3.125]], float64: ['float64', [1.1, 2.2, 3.3].map(Math.fround)],
      float32: ['float32', [1, 2.5, Math.fround(-3.7), 0]], int16: ['int16', [1000, -2000, 3000]], int32: ['int32', [10, 20, -30]], int64: ['int64', [100, -200, 300, 0]],
      int8: ['int8', [127, -128, 0, 50]], uint8: ['uint8', [0, 128, 255, 42]],
    };
    const files = readTarGz(path('torch-format/burn-reader.tar.gz'));
    for (const [name, bytes] of files) {
      if (name === 'broken.pt') {
        await expect(open(bytes)).rejects.toMatchObject({ code: 'E_FORMAT' });
        continue;
      }
      const { tensors } = await open(bytes);
      for (const tensor of tensors.values()) await tensor.load();
      const [dtype, values] = expected[name.replace('.pt', '')] ?? [];
      if (dtype === undefined) continue;
      const tensor = tensors.get('tensor')!;
      expect(tensor.dtype).toBe(dtype);
      expect([name, ...(await floats(tensor))]).toEqual([name, ...values!]);
    }
  });

  test('hostile ones are refused', async () => {
    const synthetic = [...readTarGz(path('hostile/hostile-synthetic.tar.gz'))].filter(([name]) => name.startsWith('torch/') || name.endsWith('.pt'));
    const pickles = [...readTarGz(path('hostile/pickles.tar.gz'))];
    expect(synthetic.length + pickles.length).toBe(29);
    for (const [name, bytes] of [...synthetic, ...pickles]) {
      const error = await open(bytes).then(() => undefined, (thrown: unknown) => thrown);
      expect(isPenjingError(error), name).toBe(true);
      if (name.endsWith('.pkl')) expect([name, (error as { code: string }).code]).toEqual([name, 'E_UNSAFE']);
    }
  });
});
