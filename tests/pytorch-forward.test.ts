/** Models out of PyTorch files: they give what PyTorch gave, and a missing forward is asked for in words. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { check, isPenjingError, memorySource } from '@penjing/core';
import { referenceEngine } from '@penjing/core/reference';
import { defineModule, modelFromPytorch, openSafetensors } from '@penjing/graph-io';
import { fileSource } from '@penjing/graph-io/node';
import { testEngine } from './support/ort-session.js';
import { difference } from './support/model-difference.js';
import { testData } from './tools/test-data.js';

const FIXTURES = fileURLToPath(new URL('./fixtures/torch-modules', import.meta.url));
interface Case {
  readonly inputs: readonly string[];
  readonly forward?: string;
}
const cases = JSON.parse(readFileSync(join(FIXTURES, 'cases.json'), 'utf8')) as Readonly<Record<string, Case>>;
const file = (name: string): ReturnType<typeof memorySource> => memorySource(readFileSync(join(FIXTURES, name)));
/** In this process: sessions of ONNX Runtime take a thread each. The full tests run the same cases on it. */
const reference = referenceEngine();

describe('models of torch.save', () => {
  test.each(Object.entries(cases))('%s', async (name, { inputs, forward }) => {
    const model = await modelFromPytorch(file(`${name}.pt`), { inputs, ...(forward !== undefined && { forward }) });
    expect(await difference(model, await openSafetensors(file(`${name}.safetensors`)), reference)).toBeLessThan(1e-5);
  });

  test('a forward in TypeScript', async () => {
    const definition = defineModule({
      inputs: ['x:f32[N,3,12,12]'],
      forward: ({ stem, blocks, head }, { inputs: { x }, f: { cat, mean, amax, flatten } }) => {
        const h = blocks!(stem!(x!));
        return { logits: head!(cat!([mean!(h, { dim: [2, 3] }), amax!(flatten!(h, 2), -1)], 1)) };
      },
      blocks: { Block: ({ conv1, bn1, conv2, bn2 }, { relu, add }, x) => relu!(add!(bn2!(conv2!(relu!(bn1!(conv1!(x))))), x)) },
    });
    const model = await modelFromPytorch(file('residual-module.pt'), { forward: definition });
    expect(model.graph.outputs.map(({ name }) => name)).toEqual(['logits']);
    expect(await difference(model, await openSafetensors(file('residual-module.safetensors')), reference)).toBeLessThan(1e-5);
  });

  test('lines out of a forward in Python', async () => {
    const forward = 'h = self.layer1(x)\nh = F.dropout(torch.relu(h), 0.5, self.training)\nh *= 1\nreturn self.layer2(h)';
    const model = await modelFromPytorch(file('my-model.pt'), { forward, inputs: ['x:f32[N,7]'] });
    expect(await difference(model, await openSafetensors(file('my-model.safetensors')), reference)).toBeLessThan(1e-5);
  });

  test('names of the result name the outputs; weights keep their names', async () => {
    const model = await modelFromPytorch(file('unet.pt'), cases['unet']);
    expect(model.graph.outputs.map(({ name }) => name)).toEqual(['mask', 'b']);
    expect([...model.graph.initializers.keys()]).toContain('down.weight');
  });
});

describe('without a forward', () => {
  const failure = async (name: string, options: Parameters<typeof modelFromPytorch>[1] = {}): Promise<{ message: string; hint: string; code: string }> => {
    try {
      await modelFromPytorch(file(name), options);
    } catch (error) {
      return error as { message: string; hint: string; code: string };
    }
    throw new Error('it converted');
  };

  test('a state dict is shown with a forward to start from', async () => {
    const { code, message, hint } = await failure('my-model.pt');
    expect(code).toBe('E_FORWARD');
    expect(message).toContain('layer1: Linear weight [5, 7], bias [5]');
    expect(hint).toContain("--forward 'layer2(relu(layer1(x)))' --input 'x:f32[N,7]'");
    const model = await modelFromPytorch(file('my-model.pt'), { forward: 'layer2(relu(layer1(x)))', inputs: ['x:f32[N,7]'] });
    expect(await difference(model, await openSafetensors(file('my-model.safetensors')), reference)).toBeLessThan(1e-5);
  });

  test('a module of an own class too, with the classes inside', async () => {
    const { message, hint } = await failure('residual-module.pt');
    expect(message).toContain('the model is a Residual');
    expect(message).toContain('0: Block');
    expect(hint).toContain('Block(x) = ');
    expect(hint).toContain("--input 'x:f32[N,3,H,W]'");
  });

  test.each(['my-model-module', 'my-model', 'residual-module'])('the forward to start from converts: %s', async (name) => {
    const { hint } = await failure(`${name}.pt`);
    const [, forward] = /--forward '([^']*)' --input '([^']*)'/.exec(hint)!;
    // Of the last one only the sum and the pooling are missing.
    const edited = name === 'residual-module' ? forward!.replace('head(blocks(stem(x)))', 'head(cat([blocks(stem(x)).mean(dim=(2, 3)), x.mean(dim=(2, 3)), x[:, :1, 0, 0]], 1))') : forward!;
    const model = await modelFromPytorch(file(`${name}.pt`), { forward: edited, inputs: cases[name]!.inputs });
    expect(check(model)).toEqual([]);
  });

  test('a model that needs none is asked for its input', async () => {
    expect(await failure('cnn.pt')).toMatchObject({ code: 'E_OPTION', hint: "Give them, for example --input 'x:f32[N,3,H,W]'." });
  });
});

describe('forwards that are wrong', () => {
  test.each<[forward: string, input: string, message: RegExp]>([
    ['layer2(relu(layer1(x))', 'x:f32[N,7]', /"," should stand here, but it ends/],
    ['layer2(relu(layer1(y)))', 'x:f32[N,7]', /y is neither an input nor a module/],
    ['layer3(x)', 'x:f32[N,7]', /neither a module nor a function called layer3; modules are layer1, layer2/],
    ['layer1.conv(x)', 'x:f32[N,7]', /layer1 has no conv; it has weight, bias/],
    ['layer1(x)', 'x:f32[N,8]', /the input has 8 values along its last axis, the weight layer1.weight takes 7/],
    ['layer1', 'x:f32[N,7]', /layer1 is a module: call it/],
    ['relu', 'x:f32[N,7]', /relu is neither/],
    ['relu(x, 5)', 'x:f32[N,7]', /takes 1 arguments/],
    ['softmax(x)', 'x:f32[N,7]', /the argument dim is missing/],
    ['layer1(x) layer2(x)', 'x:f32[N,7]', /";" should stand here/],
    ['f(x) = f(x); f(x)', 'x:f32[N,7]', /deeper than 200/],
    ['x ? y', 'x:f32[N,7]', /"\?" means nothing here/],
    ["layer1(x, kind='Banana')", 'x:f32[N,7]', /no kind of module called Banana/],
    ['5', 'x:f32[N,7]', /gives a number/],
    ['', 'x:f32[N,7]', /no result/],
    [`${'('.repeat(1000)}x${')'.repeat(1000)}`, 'x:f32[N,7]', /nested deeper/],
    ['x', 'x:f33[N]', /f33/],
    ['x', 'x', /is no input/],
    ['x', 'x:f32[N,-1]', /"-1"/],
  ])('%s', async (forward, input, message) => {
    await expect(modelFromPytorch(file('my-model.pt'), { forward, inputs: [input] })).rejects.toThrow(message);
  });

  test('whatever is written, it converts or is refused in words', async () => {
    const words = ['x', 'layer1', 'layer2', '(', ')', '.', ',', '=', ';', '+', '@', '[', ']', '0', '1.5', 'relu', 'view', "'a'", ':', '-', '\n', 'shape'];
    await fc.assert(fc.asyncProperty(fc.array(fc.constantFrom(...words), { maxLength: 14 }), async (parts) => {
      try {
        await modelFromPytorch(file('my-model.pt'), { forward: parts.join(''), inputs: ['x:f32[N,7]'] });
      } catch (error) {
        if (!isPenjingError(error)) throw error;
      }
    }), { numRuns: 300 });
  });
});

describe.skipIf(!testData)('real weights', () => {
  const data = (name: string): string => join(testData!, 'models', name);

  test('the MNIST network with its forward', async () => {
    const forward = 'log_softmax(norm2(fc2(relu(fc1(flatten(norm1(relu(conv3(relu(conv2(relu(conv1(x))))))), 1))))), dim=1)';
    const model = await modelFromPytorch(await fileSource(data('mnist/burn-mnist.pt')), { forward, inputs: ['x:f32[N,1,28,28]'] });
    const recorded = await openSafetensors(await fileSource(data('mnist/burn-mnist-pt_expected.safetensors')));
    expect(await difference(model, recorded, testEngine(), ['input', 'output'])).toBeLessThan(1e-4);
  });

  test.each(['resnet20_full_module.pt', 'resnet20-12fca82f.th'])('ResNet-20 with its forward: %s', async (name) => {
    // Where a stage begins, the shortcut takes every second pixel and adds empty channels.
    const pad = name.endsWith('.pt') ? '' : ', padding=1';
    const stride = name.endsWith('.pt') ? '' : ', stride=2, padding=1';
    const forward = `
      keep(b, x) = relu(b.bn2(b.conv2(relu(b.bn1(b.conv1(x${pad})))${pad})) + x)
      half(b, x, n) = relu(b.bn2(b.conv2(relu(b.bn1(b.conv1(x${stride})))${pad})) + pad(x[:, :, ::2, ::2], [0, 0, 0, 0, n, n]))
      first(m, x) = keep(m.2, keep(m.1, keep(m.0, x)))
      stage(m, x, n) = keep(m.2, keep(m.1, half(m.0, x, n)))
      h = relu(bn1(conv1(x${pad})))
      h = stage(layer3, stage(layer2, first(layer1, h), 8), 16)
      linear(h.mean(dim=(2, 3)))`;
    const model = await modelFromPytorch(await fileSource(data(`resnet20-cifar10/${name}`)), { forward, inputs: ['x:f32[N,3,32,32]'] });
    const recorded = await openSafetensors(await fileSource(data('resnet20-cifar10/resnet20_expected.safetensors')));
    expect(await difference(model, recorded, testEngine(), ['input', 'output'])).toBeLessThan(1e-4);
  });
});
