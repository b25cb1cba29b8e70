/** The networks whose training steps are timed, with one batch of data each. The peers in `peers/bench` build the same. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createRng, denseOf, DenseTensor, type Feeds, GraphBuilder, Model, type Shape, tensorType, type Value } from '@penjing/core';
import { addLoss, batchStatistics, causalBlocks, crossEntropy, differentiate, hiddenMatrices, makeTrainable, type MatrixForm, trainableInputs } from '@penjing/distill';
import { convertHuggingFace, openHuggingFaceFolder, safetensorsLayout } from '@penjing/graph-io';
import { openFolder, saveFile } from '@penjing/graph-io/node';

export interface TrainingStep {
  readonly model: Model;
  /** Initial values of what the optimizer changes. */
  readonly weights: ReadonlyMap<string, DenseTensor>;
  /** Further inputs that a step gives the next value of, by input: the output that has it. */
  readonly state: ReadonlyMap<string, string>;
  readonly feeds: Feeds;
  /** Those of hidden layers. */
  readonly matrices: readonly MatrixForm[];
}

/** 10.0 million parameters in ten narrow layers. */
const NARROW = {
  architectures: ['LlamaForCausalLM'], model_type: 'llama', vocab_size: 4096, hidden_size: 256, intermediate_size: 688, num_hidden_layers: 10, num_attention_heads: 8, num_key_value_heads: 8, head_dim: 32,
  hidden_act: 'silu', max_position_embeddings: 512, rms_norm_eps: 1e-5, rope_theta: 10000, attention_bias: false, mlp_bias: false, tie_word_embeddings: false, bos_token_id: 0, eos_token_id: 1, torch_dtype: 'float32',
};

/** Writes a Llama with random weights as a Hugging Face folder, for both sides to read. */
export async function writeNarrowLlama(folder: string): Promise<void> {
  const { hidden_size: width, intermediate_size: inner, vocab_size: tokens } = NARROW;
  const rng = createRng(1);
  const tensors = new Map<string, DenseTensor>();
  const matrix = (name: string, rows: number, columns: number): unknown => tensors.set(`${name}.weight`, DenseTensor.of('float32', [rows, columns], Float32Array.from({ length: rows * columns }, () => 0.02 * rng.normal())));
  const ones = (name: string): unknown => tensors.set(`${name}.weight`, DenseTensor.of('float32', [width], new Float32Array(width).fill(1)));
  matrix('model.embed_tokens', tokens, width);
  for (let layer = 0; layer < NARROW.num_hidden_layers; layer++) {
    const name = `model.layers.${layer}`;
    for (const part of ['q', 'k', 'v', 'o']) matrix(`${name}.self_attn.${part}_proj`, width, width);
    for (const part of ['gate', 'up']) matrix(`${name}.mlp.${part}_proj`, inner, width);
    matrix(`${name}.mlp.down_proj`, width, inner);
    ones(`${name}.input_layernorm`);
    ones(`${name}.post_attention_layernorm`);
  }
  ones('model.norm');
  matrix('lm_head', tokens, width);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'config.json'), JSON.stringify(NARROW));
  await saveFile(join(folder, 'model.safetensors'), safetensorsLayout({ tensors, metadata: new Map([['format', 'pt']]) })[0]!, { force: true });
}

/** A Llama from a Hugging Face folder: the deployable model, made trainable. */
export async function llamaStep(folder: string, batch: number, length: number): Promise<TrainingStep> {
  const { model } = await makeTrainable(await convertHuggingFace(await openHuggingFaceFolder(openFolder(folder))));
  // Known sizes: what depends on them is computed before the first step.
  for (const input of model.graph.inputs) input.type = tensorType('int64', [batch, length]);
  causalBlocks(model);
  const { shape } = model.graph.outputs.find(({ name }) => name === 'logits')!.type as { shape: readonly number[] };
  const token = (row: number, place: number): number => 3 + ((7919 * row + 31 * place * place + 17 * place) % (shape[2]! - 3));
  const ints = (of: (row: number, place: number) => number): DenseTensor => denseOf('int64', [batch, length], Array.from({ length: batch * length }, (_, i) => of(Math.floor(i / length), i % length)));
  const matrices = hiddenMatrices(model);
  addLoss(model, crossEntropy());
  const weights = await trainableInputs(model);
  differentiate(model, { loss: 'loss', of: [...weights.keys()] });
  return { model, weights, matrices, state: new Map(), feeds: { input_ids: ints(token), labels: ints((row, place) => token(row, place + 1)), attention_mask: ints(() => 1), position_ids: ints((_, place) => place) } };
}

/** Channels of the stages, two blocks each (He et al. 2015, arXiv:1512.03385, §4.2, n = 2). */
const WIDTHS = [16, 32, 64];
const SIZE = 28;
const CLASSES = 10;

/** ResNet-14 on pictures of 28 × 28, batch normalization by the batch. */
export async function resnetStep(batch: number): Promise<TrainingStep> {
  const model = new Model();
  model.opsetImports.set('', 21);
  const b = new GraphBuilder(model.graph);
  const stored = (name: string, shape: Shape, value: (i: number) => number): Value => b.initializer(name, DenseTensor.of('float32', shape, Float32Array.from({ length: shape.reduce((x, y) => x * y, 1) }, (_, i) => value(i))));
  const kernel = (name: string, shape: Shape): Value => stored(`${name}.weight`, shape, (i) => Math.sqrt(4 / shape.slice(1).reduce((x, y) => x * y, 1)) * Math.sin(1 + 12.9898 * i));
  const conv = (x: Value, name: string, from: number, to: number, size: number, stride: number): Value => b.op('Conv', [x, kernel(name, [to, from, size, size])], { strides: [stride, stride], pads: new Array<number>(4).fill(size >> 1) });
  const norm = (x: Value, name: string, width: number): Value => {
    const vector = (part: string, value: number): Value => stored(`${name}.${part}`, [width], () => value);
    return b.op('BatchNormalization', [x, vector('weight', 1), vector('bias', 0), vector('running_mean', 0), vector('running_var', 1)]);
  };
  const relu = (x: Value): Value => b.op('Relu', [x]);
  let x = relu(norm(conv(b.input('x', tensorType('float32', [batch, 1, SIZE, SIZE])), 'stem', 1, WIDTHS[0]!, 3, 1), 'stem_norm', WIDTHS[0]!));
  let from = WIDTHS[0]!;
  WIDTHS.forEach((to, stage) => {
    for (const block of [0, 1]) {
      const name = `stages.${stage}.${block}`;
      const stride = stage > 0 && block === 0 ? 2 : 1;
      const inner = relu(norm(conv(x, `${name}.conv1`, from, to, 3, stride), `${name}.norm1`, to));
      const y = norm(conv(inner, `${name}.conv2`, to, to, 3, 1), `${name}.norm2`, to);
      const shortcut = stride === 1 ? x : norm(conv(x, `${name}.shortcut`, from, to, 1, stride), `${name}.shortcut_norm`, to);
      x = relu(b.op('Add', [y, shortcut]));
      from = to;
    }
  });
  const pooled = b.op('Flatten', [b.op('GlobalAveragePool', [x])]);
  b.output(b.op('Gemm', [pooled, kernel('head', [CLASSES, from]), stored('head.bias', [CLASSES], () => 0)], { transB: 1 }), 'logits');
  const matrices = hiddenMatrices(model);
  const statistics = batchStatistics(model);
  addLoss(model, crossEntropy(), { keep: statistics.map(({ output }) => output) });
  const initial = Object.fromEntries(statistics.map(({ name }) => {
    const { shape } = model.graph.inputs.find((input) => input.name === name)!.type as { shape: readonly number[] };
    return [name, DenseTensor.of('float32', shape, new Float32Array(shape[0]!).fill(name.endsWith('var') ? 1 : 0))] as const;
  }));
  const weights = await trainableInputs(model);
  differentiate(model, { loss: 'loss', of: [...weights.keys()] });
  const pictures = DenseTensor.of('float32', [batch, 1, SIZE, SIZE], Float32Array.from({ length: batch * SIZE * SIZE }, (_, i) => Math.sin(0.73 * i) * Math.cos(0.0053 * i)));
  return { model, weights, matrices, state: new Map(statistics.map(({ name, output }) => [name, output])), feeds: { x: pictures, labels: denseOf('int64', [batch], Array.from({ length: batch }, (_, i) => (7 * i) % CLASSES)), ...initial } };
}
