/** What is said when a forward is missing: the tree of modules, and a forward to start from. */
import { PenjingError } from '@penjing/core';
import { inferKind } from './infer-kind.js';
import { kinds } from './kinds.js';
import { isTorchType, type ModuleNode, shortType } from './module-node.js';

const MAX_LINES = 60;
const containers = new Set(['Sequential', 'DataParallel', 'DistributedDataParallel']);
const INDENT = '  ';

/** One line per module, as PyTorch prints models, with the shapes of weights where the file does not hold more. */
export function moduleTree(root: ModuleNode): string {
  const lines: string[] = [];
  const visit = (node: ModuleNode, name: string, depth: number): void => {
    if (lines.length > MAX_LINES) return;
    lines.push(`${INDENT.repeat(depth)}${name === '' ? '' : `${name}: `}${titleOf(node)}`);
    for (const [child, inner] of node.children) visit(inner, child, depth + 1);
  };
  visit(root, '', 0);
  if (lines.length > MAX_LINES) lines.splice(MAX_LINES, lines.length, `${INDENT}…`);
  return lines.join('\n');
}

function titleOf(node: ModuleNode): string {
  const weights = [...node.tensors].filter(([name]) => name !== 'num_batches_tracked').map(([name, { shape }]) => `${name} [${shape.join(', ')}]`);
  const type = node.type === undefined ? inferKind(node) : shortType(node.type);
  const title = type ?? (node.children.size > 0 ? 'module' : 'weights of an unknown kind');
  const shown = weights.length > 4 ? [...weights.slice(0, 4), '…'] : weights;
  return shown.length === 0 ? title : `${title} ${shown.join(', ')}`;
}

/**
 * Every module once, one after the other: right for a chain, a start for anything else. Classes of the file's own come
 * first, as definitions of theirs.
 */
export function forwardSkeleton(root: ModuleNode): { forward: string; input: string } {
  const blocks = [...ownClasses(root)].filter(([type]) => root.type === undefined || type !== shortType(root.type));
  const definitions = blocks.map(([type, node]) => `${type}(x) = ${nested(stepsOf(node, node.path))}`);
  const steps = stepsOf(root, root.path);
  const body = steps.length <= 4 ? nested(steps) : sequence(steps);
  return { forward: [...definitions, body].join('; '), input: `x:${inputOf(root)}` };
}

const nested = (steps: readonly Step[]): string => steps.reduce((inner, step, i) => written(step, steps[i + 1], inner), 'x');

function sequence(steps: readonly Step[]): string {
  const calls = steps.map((step, i) => written(step, steps[i + 1], i === 0 ? 'x' : 'h'));
  return `h = ${calls.slice(0, -1).join('; h = ')}; ${calls.at(-1)!}`;
}

/** Activations have no weights, so a state dict does not tell them: between two layers there is one more often than not. */
function written({ name, axes, guess }: Step, next: Step | undefined, inner: string): string {
  const call = `${name}(${inner})`;
  const active = guess && axes >= 2 && next ? `relu(${call})` : call;
  return next?.axes === 2 && axes > 2 ? `flatten(${active}, 1)` : active;
}

/** The first module of each class whose code is not torch's. */
function ownClasses(node: ModuleNode, found = new Map<string, ModuleNode>()): Map<string, ModuleNode> {
  for (const child of node.children.values()) ownClasses(child, found);
  if (node.type !== undefined && !isTorchType(node.type) && !found.has(shortType(node.type))) found.set(shortType(node.type), node);
  return found;
}

interface Step {
  readonly name: string;
  /** Of its weight; 0 without one, and of modules that hold others. */
  readonly axes: number;
  /** Nothing but weights is known. */
  readonly guess: boolean;
}

/** Children that can be called as they are; of others what is inside. */
function stepsOf(node: ModuleNode, base: string): Step[] {
  let last = 0;
  return [...node.children.values()].flatMap((child): Step[] => {
    const { type } = child;
    const kind = type === undefined ? inferKind(child) : shortType(type);
    const callable = (kind !== undefined && (Object.hasOwn(kinds, kind) || containers.has(kind))) || (type !== undefined && !isTorchType(type)) || child.children.size === 0;
    if (!callable) return stepsOf(child, base);
    const axes = child.tensors.get('weight')?.shape.length ?? 0;
    // A normalization works on what the layer in front of it gives.
    last = axes >= 2 ? axes : last;
    return [{ name: base === '' ? child.path : child.path.slice(base.length + 1), axes: axes === 1 && type !== undefined ? last : axes, guess: type === undefined }];
  });
}

/** Type and shape of the input out of the first layer. */
function inputOf(root: ModuleNode): string {
  const weight = firstWeight(root);
  const shape = weight?.node.tensors.get('weight')!.shape ?? [];
  if (!weight) return 'f32[N]';
  if (weight.kind === 'Embedding') return 'i64[N,T]';
  if (weight.kind.startsWith('ConvTranspose')) return `f32[N,${shape[0]},${['H', 'W', 'D'].slice(0, shape.length - 2).join()}]`;
  if (shape.length >= 3) {
    const groups = weight.node.attribute('groups');
    const channels = shape[1]! * (typeof groups === 'number' ? groups : 1);
    return `f32[N,${channels},${['H', 'W', 'D'].slice(0, shape.length - 2).join()}]`;
  }
  return `f32[N,${shape.at(-1) ?? 1}]`;
}

function firstWeight(node: ModuleNode): { node: ModuleNode; kind: string } | undefined {
  if ((node.tensors.get('weight')?.shape.length ?? 0) >= 2) return { node, kind: (node.type === undefined ? inferKind(node) : shortType(node.type)) ?? '' };
  for (const child of node.children.values()) {
    const found = firstWeight(child);
    if (found) return found;
  }
  return undefined;
}

/** The error that asks for a forward: it shows what there is, and a line to edit. */
export function needsForward(node: ModuleNode, root = node): PenjingError {
  const { forward, input } = forwardSkeleton(root);
  const name = node.path === '' || node === root ? 'the model' : node.path;
  const what = node.type === undefined ? 'the file holds weights, not how they are used' : `${name} is a ${shortType(node.type)}, whose forward is Python code that is not in the file`;
  return new PenjingError('E_FORWARD', `${what}:\n${moduleTree(root)}`, {
    hint: `Write the forward in one line, starting from this one (activations and sums are for you to put in):\n  --forward '${forward}' --input '${input}'`,
    details: { forward, input, path: node.path },
  });
}

/** The first module, from the outside, of which nothing says how it computes. */
export function firstUnknown(node: ModuleNode): ModuleNode | undefined {
  const name = node.type === undefined ? undefined : shortType(node.type);
  const container = name !== undefined && isTorchType(node.type) && containers.has(name);
  if (!container) return name !== undefined && isTorchType(node.type) && Object.hasOwn(kinds, name) ? undefined : node;
  for (const child of node.children.values()) {
    const unknown = firstUnknown(child);
    if (unknown) return unknown;
  }
  return undefined;
}
