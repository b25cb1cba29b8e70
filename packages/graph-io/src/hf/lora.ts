/** LoRA adapters of PEFT, merged into the weights of a folder: W + scale · B · A, computed when the weights are written. */
import { type Checkpoint, lazy, PenjingError, sameShape, type Tensor } from '@penjing/core';
import { openSafetensors } from '../safetensors/index.js';
import { Fields } from './fields.js';
import { isObject, type ModelFolder, readJsonObject } from './folder.js';
import type { HuggingFaceFolder } from './open.js';

const CONFIG = 'adapter_config.json';
const WEIGHTS = 'adapter_model.safetensors';

/** PEFT wraps the model twice. */
const WRAPPED = /^base_model\.model\./;
const LORA = /^(.*)\.(lora_A|lora_B|lora_embedding_A|lora_embedding_B)(?:\.weight)?$/;

/**
 * The folder with the adapter in its weights. `adapter` holds adapter_config.json and adapter_model.safetensors. Throws
 * `E_FORMAT` when it does not, `E_CONFIG` naming a field that is wrong or not supported, `E_WEIGHTS` naming a tensor of the
 * adapter that has no place in the model. Source: Hu et al. 2021 (arXiv 2106.09685); Kalajdzievski 2023 for rank-stabilized scales.
 */
export async function mergeLora(folder: HuggingFaceFolder, adapter: ModelFolder): Promise<HuggingFaceFolder> {
  const files = await adapter.list();
  for (const name of [CONFIG, WEIGHTS]) {
    if (files.includes(name)) continue;
    throw new PenjingError('E_FORMAT', `${adapter.name} has no ${name}`, { hint: 'Give a folder that PEFT saved, with safetensors.' });
  }
  const config = new Fields(await readJsonObject(adapter, CONFIG), CONFIG);
  config.only('peft_type', 'LORA', 'only LoRA adapters are merged');
  config.only('use_dora', false, 'its magnitudes depend on the merged weights');
  const { tensors } = await openSafetensors(await adapter.open(WEIGHTS));
  return { ...folder, checkpoint: merged(folder.checkpoint, adapterParts(tensors), config) };
}

/** The change of a weight as a product: (m, rank) · (rank, n). */
interface LowRank {
  readonly left?: Tensor;
  readonly right?: Tensor;
  /** Of a lookup table, which is never turned. */
  readonly table?: true;
}

interface AdapterParts {
  /** By module. */
  readonly changes: ReadonlyMap<string, LowRank>;
  /** Tensors that take the place of the model's: `modules_to_save`, biases. */
  readonly whole: ReadonlyMap<string, Tensor>;
}

/** Linear layers have B (outputs, rank) and A (rank, inputs); tables have A (rank, rows) and B (width, rank), and both turned give the change. */
const sides: Readonly<Record<string, (tensor: Tensor) => LowRank>> = {
  lora_A: (right) => ({ right }),
  lora_B: (left) => ({ left }),
  lora_embedding_A: (a) => ({ left: turn(a), table: true }),
  lora_embedding_B: (b) => ({ right: turn(b), table: true }),
};

function adapterParts(tensors: ReadonlyMap<string, Tensor>): AdapterParts {
  const changes = new Map<string, LowRank>();
  const whole = new Map<string, Tensor>();
  for (const [full, tensor] of tensors) {
    const name = full.replace(WRAPPED, '').replace('.base_layer.', '.').replace('.modules_to_save.', '.');
    const [, module, part] = LORA.exec(name) ?? [];
    if (module === undefined || part === undefined) whole.set(name, tensor);
    else if (tensor.shape.length !== 2) throw new PenjingError('E_WEIGHTS', `${full} is no matrix`, { details: { tensor: full } });
    else changes.set(module, { ...changes.get(module), ...sides[part]!(tensor) });
  }
  return { changes, whole };
}

function merged({ tensors, metadata }: Checkpoint, { changes, whole }: AdapterParts, config: Fields): Checkpoint {
  const all = new Map(tensors);
  for (const [name, tensor] of whole) {
    const place = placeOf(all, name);
    expectShape(name, tensor, all.get(place)!);
    all.set(place, tensor);
  }
  const turned = config.boolean('fan_in_fan_out', false);
  for (const [module, { left, right, table }] of changes) {
    if (!left || !right) throw new PenjingError('E_WEIGHTS', `${module} has only one half of a LoRA pair`, { details: { module } });
    const place = placeOf(all, `${module}.weight`);
    const weight = all.get(place)!;
    const product = lazy.matmul(left, right);
    const change = turned && !table ? turn(product) : product;
    expectShape(module, change, weight);
    const scale = lazy.fill('float32', [1], scaleOf(config, module, left.shape[1]!));
    all.set(place, lazy.add(lazy.cast(weight, 'float32'), lazy.multiply(change, scale)));
  }
  return { tensors: all, metadata };
}

/** alpha / rank, or alpha / √rank when it is stabilized. `alpha_pattern` has an alpha for some modules. */
function scaleOf(config: Fields, module: string, rank: number): number {
  const pattern = config.get('alpha_pattern') ?? {};
  if (!isObject(pattern)) throw config.wrong('alpha_pattern', 'an object of numbers by module');
  let alpha = config.number('lora_alpha', 8);
  for (const [name, value] of Object.entries(pattern)) {
    if (!PLAIN_NAME.test(name) || typeof value !== 'number' || !Number.isFinite(value)) {
      throw new PenjingError('E_CONFIG', `${CONFIG}: alpha_pattern ${JSON.stringify(name)} is not supported`, {
        hint: 'Names of modules with a number each are; patterns are not.',
        details: { field: 'alpha_pattern', value: name },
      });
    }
    if (module === name || module.endsWith(`.${name}`)) {
      alpha = value;
      break;
    }
  }
  return alpha / (config.boolean('use_rslora', false) ? Math.sqrt(rank) : rank);
}

/** A module by its name, or its last parts: no pattern. */
const PLAIN_NAME = /^[\w.]+$/;

/** The name under which the model stores a tensor: the same, or the same after modules that the file leaves out, or has more of. */
function placeOf(tensors: ReadonlyMap<string, Tensor>, name: string): string {
  if (tensors.has(name)) return name;
  const near = [...tensors.keys()].filter((known) => known.endsWith(`.${name}`) || name.endsWith(`.${known}`));
  if (near.length === 1) return near[0]!;
  throw new PenjingError('E_WEIGHTS', `the adapter changes ${name}, which the model does not have`, {
    hint: 'The adapter belongs to another model, or to one that is quantized.',
    details: { tensor: name },
  });
}

function expectShape(name: string, { shape }: Tensor, model: Tensor): void {
  if (sameShape(shape, model.shape)) return;
  throw new PenjingError('E_WEIGHTS', `the adapter has [${shape.join(', ')}] for ${name}, the model [${model.shape.join(', ')}]`, {
    hint: 'The adapter belongs to another model.',
    details: { tensor: name },
  });
}

function turn(matrix: Tensor): Tensor {
  return lazy.transpose(matrix, [1, 0]);
}
