/** Brings pairs of quantization together: operators that only move codes move the numbers instead, and the codes are next to each other. */
import { type Graph, Node, tensorType, Value } from '@penjing/core';

/** Operators that move elements, or choose among them by size: the same on codes as on numbers. */
const MOVES: ReadonlySet<string> = new Set(['Transpose', 'Reshape', 'Flatten', 'Squeeze', 'Unsqueeze', 'Slice', 'Identity', 'MaxPool', 'DepthToSpace', 'SpaceToDepth', 'Tile', 'Expand']);

const moves = (node: Node | undefined): node is Node => node !== undefined && node.domain === '' && MOVES.has(node.opType) && node.outputs.length === 1;

const isOneScale = (node: Node): boolean => (node.input(1)?.tensor?.shape.length ?? 0) === 0 || node.input(1)?.tensor?.shape[0] === 1;

export function moveCodes(graph: Graph): void {
  for (const node of [...graph.nodes()]) if (node.opType === 'DequantizeLinear' && isOneScale(node)) hoist(graph, node);
  for (const output of [...graph.outputs]) sink(graph, output);
}

/** Dequantize(move(codes)) as move(Dequantize(codes)), as far up as it goes. */
function hoist(graph: Graph, first: Node): void {
  let node = first;
  for (let move = node.input(0)?.producer; moves(move) && !node.input(0)!.tensor; move = node.input(0)?.producer) {
    const codes = move.input(0)!;
    const numbers = new Value(`${node.output().name}:moved`, numbersLike(codes));
    const dequantize = copy(node, [codes, ...node.inputs.slice(1)], numbers);
    const output = node.output();
    const moved = new Value(output.name, output.type);
    graph.insertBefore(node, dequantize);
    graph.insertBefore(node, copy(move, [numbers, ...move.inputs.slice(1)], moved));
    graph.replaceValue(output, moved);
    graph.remove(node);
    node = dequantize;
  }
}

/** An output that is moved codes as the codes of what was moved. */
function sink(graph: Graph, output: Value): void {
  const chain: Node[] = [];
  let value = output;
  for (let move = value.producer; moves(move); move = value.producer) {
    chain.unshift(move);
    value = move.input(0)!;
  }
  const quantize = value.producer;
  if (chain.length === 0 || quantize?.opType !== 'QuantizeLinear' || !isOneScale(quantize)) return;
  const last = chain.at(-1)!;
  let numbers = quantize.input(0)!;
  for (const move of chain) {
    const moved = new Value(`${move.output().name}:moved`, numbersLike(move.output()));
    graph.insertBefore(last, copy(move, [numbers, ...move.inputs.slice(1)], moved));
    numbers = moved;
  }
  const codes = new Value(output.name, output.type);
  graph.insertBefore(last, copy(quantize, [numbers, ...quantize.inputs.slice(1)], codes));
  graph.replaceValue(output, codes);
}

function copy(node: Node, inputs: readonly (Value | null)[], output: Value): Node {
  return new Node(node.opType, inputs, [output], { domain: node.domain, name: node.name, attributes: node.attributes });
}

/** The type of the numbers behind codes. */
const numbersLike = (codes: Value): Value['type'] => tensorType('float32', codes.type?.kind === 'tensor' ? codes.type.shape : undefined);
