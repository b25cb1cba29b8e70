import { describe, expect, it } from 'vitest';
import { attributeTypes } from '../graph/attribute.js';
import { dtypes } from '../dtype.js';
import { opNames, schemaOf } from './lookup.js';

const newest = 99;
const split = (name: string): [string, string] => {
  const at = name.lastIndexOf('.');
  return at < 0 ? ['', name] : [name.slice(0, at), name.slice(at + 1)];
};

describe('schemaOf', () => {
  it('gives the version in force', () => {
    expect(schemaOf('', 'Add', 13)?.sinceVersion).toBe(13);
    expect(schemaOf('ai.onnx', 'Add', 21)?.sinceVersion).toBe(14);
    expect(schemaOf('', 'Attention', 22)).toBeUndefined();
    expect(schemaOf('', 'Attention', 23)?.sinceVersion).toBe(23);
    expect(schemaOf('', 'Upsample', 13)?.deprecated).toBe(true);
  });

  it('leaves unknown operators opaque', () => {
    expect(schemaOf('', 'Nonsense', 20)).toBeUndefined();
    expect(schemaOf('', 'toString', 20)).toBeUndefined();
    expect(schemaOf('my.domain', 'Add', 1)).toBeUndefined();
  });

  it('reads parameters, types and attributes', () => {
    const clip = schemaOf('', 'Clip', 13)!;
    expect(clip.inputs.map(({ name, option }) => [name, option])).toEqual([['input', 'single'], ['min', 'optional'], ['max', 'optional']]);
    expect(clip.inputs[0]!.types).toContain('bfloat16');
    const loop = schemaOf('', 'Loop', 21)!;
    expect(loop.inputs[2]).toMatchObject({ name: 'v_initial', option: 'variadic', least: 0, homogeneous: false });
    expect(loop.inputs[2]!.types).toContain('opt(seq(float32))');
    expect(loop.attributes.get('body')).toMatchObject({ kind: 'graph', required: true });
    const bits = schemaOf('com.microsoft', 'MatMulNBits', 1)!;
    expect(bits.attributes.get('bits')?.default).toBe(4);
    expect(schemaOf('', 'LayerNormalization', 17)!.attributes.get('epsilon')?.default).toBe(1e-5);
  });

  it('declares every operator with known types and attribute kinds', () => {
    const future = new Set(['float6e2m3', 'float6e3m2']);
    for (const name of opNames) {
      const schema = schemaOf(...split(name), newest);
      expect(schema, name).toBeDefined();
      for (const { types } of [...schema!.inputs, ...schema!.outputs]) {
        expect(types.length, name).toBeGreaterThan(0);
        for (const type of types) {
          const plain = type.replace(/^(?:(?:seq|opt|sparse)\()*(\w+)\)*$/, '$1');
          if (!plain.startsWith('map(') && !plain.startsWith('seq(map(') && !future.has(plain)) expect(dtypes, `${name} ${type}`).toHaveProperty(plain);
        }
      }
      for (const { kind } of schema!.attributes.values()) expect(attributeTypes, name).toHaveProperty(kind);
    }
    expect(opNames.length).toBeGreaterThan(300);
  });
});
