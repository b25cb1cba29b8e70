import { describe, expect, it } from 'vitest';
import { GraphBuilder } from '../builder.js';
import { attribute } from '../graph/attribute.js';
import { Graph } from '../graph/graph.js';
import { Model } from '../graph/model.js';
import { Node } from '../graph/node.js';
import { formatType, tensorType } from '../graph/value-type.js';
import { Value } from '../graph/value.js';
import { inferShapes } from './infer-shapes.js';

function start(opset = 21): { model: Model; b: GraphBuilder } {
  const model = new Model();
  model.opsetImports.set('', opset);
  model.opsetImports.set('com.microsoft', 1);
  return { model, b: new GraphBuilder(model.graph) };
}

describe('inferShapes', () => {
  it('follows shapes through the reshapes of an attention block', () => {
    const { model, b } = start();
    const x = b.input('x', tensorType('float32', ['batch', 'seq', 64]));
    const past = b.input('past', tensorType('float32', ['batch', 4, 'past', 16]));
    const w = b.input('w', tensorType('float32', [64, 64]));
    const shape = b.op('Shape', [x]);
    const batch = b.op('Gather', [shape, b.constant('int64', 0)], { axis: 0 });
    const seq = b.op('Slice', [shape, b.constant('int64', [1]), b.constant('int64', [2])]);
    const target = b.op('Concat', [b.op('Unsqueeze', [batch, b.constant('int64', [0])]), seq, b.constant('int64', [4, -1])], { axis: 0 });
    const heads = b.op('Transpose', [b.op('Reshape', [b.op('MatMul', [x, w]), target])], { perm: [0, 2, 1, 3] });
    const keys = b.op('Concat', [past, heads], { axis: 2 });
    const scores = b.op('MatMul', [heads, b.op('Transpose', [keys], { perm: [0, 1, 3, 2] })]);
    const total = b.op('Gather', [b.op('Shape', [keys]), b.constant('int64', 2)]);
    const positions = b.op('Range', [b.constant('int64', 0), total, b.constant('int64', 1)]);
    const fresh = b.op('Slice', [positions, b.op('Unsqueeze', [b.op('Sub', [total, b.op('Squeeze', [seq])]), b.constant('int64', [0])]), b.constant('int64', [Number.MAX_SAFE_INTEGER])]);
    const flat = b.op('Reshape', [scores, b.constant('int64', [0, 0, -1])]);
    const result = inferShapes(model);
    expect(result.gaps).toEqual([]);
    expect(formatType(heads.type)).toBe('float32[batch,4,seq,16]');
    expect(formatType(keys.type)).toBe('float32[batch,4,past + seq,16]');
    expect(formatType(scores.type)).toBe('float32[batch,4,seq,past + seq]');
    expect(formatType(positions.type)).toBe('int64[past + seq]');
    expect(formatType(fresh.type)).toBe('int64[seq]');
    expect(formatType(flat.type)).toBe('float32[batch,4,past*seq + seq*seq]');
  });

  it('infers both branches of an If with captured values, and function calls', () => {
    const { model, b } = start();
    const x = b.input('x', tensorType('float32', ['n', 3]));
    const condition = b.input('condition', tensorType('bool', []));
    const branch = (opType: string): Graph => {
      const graph = new Graph(opType);
      const out = new Value(`${opType}_out`);
      graph.append(new Node(opType, [x], [out]));
      graph.outputs.push(out);
      return graph;
    };
    const chosen = b.op('If', [condition], { then_branch: attribute.graph(branch('Relu')), else_branch: attribute.graph(branch('Transpose')) });
    const body = new Graph('scale');
    const input = new Value('a');
    const output = new Value('b');
    body.inputs.push(input);
    body.append(new Node('ReduceSum', [input], [output], { attributes: [['keepdims', { kind: 'ref', name: 'keep', of: 'int' }]] }));
    body.outputs.push(output);
    model.opsetImports.set('local', 1);
    model.functions.push({
      domain: 'local', name: 'Total', overload: '', body, attributes: ['keep'], attributeDefaults: new Map(), opsetImports: new Map([['', 21]]), extra: undefined,
    });
    const total = b.op('Total', [x], { keep: 0 }, { domain: 'local' });
    const kept = b.op('Total', [x], { keep: 1 }, { domain: 'local' });
    inferShapes(model);
    expect(formatType(chosen.type)).toBe('float32[?,?]');
    expect(formatType(total.type)).toBe('float32[]');
    expect(formatType(kept.type)).toBe('float32[1,1]');
    expect(input.type).toBeUndefined();
  });

  it('keeps a declared type that contradicts the rule, and reports it', () => {
    const { model, b } = start();
    const x = b.input('x', tensorType('float32', [2, 3]));
    const y = b.op('Relu', [x]);
    y.type = tensorType('float32', [9, 9]);
    expect(inferShapes(model).gaps).toHaveLength(1);
    expect(formatType(y.type)).toBe('float32[9,9]');
  });

  it('never throws, and names operators without a rule', () => {
    const { model, b } = start();
    const x = b.input('x', tensorType('float32', [2, 3]));
    b.op('Mystery', [x], {}, { domain: 'odd' });
    b.op('MatMul', [x, x]);
    b.op('Reshape', [x, b.constant('int64', [5])]);
    b.op('Transpose', [x], { perm: 'no' });
    expect(inferShapes(model).gaps.map((gap) => gap.split(' ')[0])).toEqual(['odd.Mystery', 'MatMul', 'Transpose']);
  });

  it('knows packed weights and grouped attention', () => {
    const { model, b } = start();
    const x = b.input('x', tensorType('float32', ['b', 's', 64]));
    const past = b.input('past', tensorType('float32', ['b', 2, 'p', 16]));
    const y = b.op('MatMulNBits', [x], { N: 96, K: 64, block_size: 32 }, { domain: 'com.microsoft' });
    const [out, key] = b.nodes('GroupQueryAttention', [x, x, x, past, past], { num_heads: 4, kv_num_heads: 2 }, { domain: 'com.microsoft', outputCount: 3 });
    inferShapes(model);
    expect(formatType(y.type)).toBe('float32[b,s,96]');
    expect(formatType(out!.type)).toBe('float32[b,s,64]');
    expect(formatType(key!.type)).toBe('float32[b,2,p + s,16]');
  });
});
