/** Whether an operator can compute in float16, and which of its inputs and outputs are float16 then: its declaration says so. */
import { type Model, type Node, schemaOf, type Value } from '@penjing/core';

/** Indices of what becomes float16. Neither: the node has nothing to do with float32. */
export interface HalfForm {
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
}

const whole = 'whole numbers above 2,048 are not exact in float16';
const angle = 'its argument may be many turns, of which float16 keeps three digits';

/** Operators that are declared for float16 and yet stay, with the reason. */
const stays: Readonly<Record<string, string>> = {
  Cast: 'it converts', CastLike: 'it converts',
  QuantizeLinear: 'scales of integers stay exact', DequantizeLinear: 'scales of integers stay exact',
  Range: whole, CumSum: whole,
  Sin: angle, Cos: angle, Tan: angle,
};

/** The form, or why there is none. Types must be inferred. */
export function halfForm(model: Model, node: Node): HalfForm | string {
  const { domain, opType } = node;
  if (domain === '' && Object.hasOwn(stays, opType)) return stays[opType]!;
  if (node.subgraphs().length > 0) return 'it holds subgraphs, which stay float32';
  const schema = schemaOf(domain, opType, model.opset(domain) ?? 1);
  if (!schema || model.functions.some((fn) => fn.domain === domain && fn.name === opType)) return 'nothing says that it exists in float16';
  const at = <Parameter extends { readonly option: string }>(list: readonly Parameter[], i: number): Parameter | undefined => list[i] ?? (list.at(-1)?.option === 'variadic' ? list.at(-1) : undefined);

  const inputs: number[] = [];
  const variables = new Set<string>();
  for (const [i, value] of node.inputs.entries()) {
    if (!isFloat32(value)) continue;
    const parameter = at(schema.inputs, i);
    // Scales of Resize, for one, are float32 whatever the data is.
    if (parameter?.typeVariable === undefined || parameter.types.length === 1) continue;
    if (!parameter.types.includes('float16')) return `${opType} is not declared for float16`;
    if (value!.tensor && value!.tensor.kind !== 'dense' && value!.tensor.kind !== 'lazy') return `${value!.name} is stored as a ${value!.tensor.kind} tensor`;
    inputs.push(i);
    variables.add(parameter.typeVariable);
  }
  const outputs: number[] = [];
  for (const [i, value] of node.outputs.entries()) {
    if (value.name === '' || !isFloat32(value)) continue;
    const parameter = at(schema.outputs, i);
    if (parameter?.types.length === 1) continue;
    // Its type comes from an attribute, which may be a tensor.
    if (parameter?.typeVariable === undefined || !variables.has(parameter.typeVariable)) return 'an attribute says that its result is float32';
    outputs.push(i);
  }
  return { inputs, outputs };
}

export function isFloat32(value: Value | null | undefined): boolean {
  return value?.type?.kind === 'tensor' && value.type.dtype === 'float32';
}
