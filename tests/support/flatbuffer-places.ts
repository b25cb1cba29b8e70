/** Where everything stands in a FlatBuffer: scalars, offsets, lengths and vtable entries, found by walking the field tables. */
import type { AnyField, AnyTable } from '../../packages/graph-io/src/tflite/field-table.js';
import { widths } from '../../packages/graph-io/src/tflite/field-table.js';

export interface Place {
  readonly at: number;
  readonly width: number;
  readonly what: 'scalar' | 'offset' | 'length' | 'vtable';
}

/** Every place of a sound file; elements of long vectors only up to `elements`. */
export function flatbufferPlaces(bytes: Uint8Array, root: AnyTable, elements = 16): Place[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const places: Place[] = [];
  const follow = (at: number): number => {
    places.push({ at, width: 4, what: 'offset' });
    return at + view.getUint32(at, true);
  };
  const vector = (at: number, each: (at: number) => void, width: number): void => {
    const start = follow(at);
    places.push({ at: start, width: 4, what: 'length' });
    const count = Math.min(elements, view.getUint32(start, true));
    for (let i = 0; i < count; i++) each(start + 4 + i * width);
  };
  const field = ({ kind, type, of, members }: AnyField, at: number, member: number): void => {
    if (kind === 'scalar') places.push({ at, width: widths[type!], what: 'scalar' });
    if (kind === 'scalars') vector(at, (item) => places.push({ at: item, width: widths[type!], what: 'scalar' }), widths[type!]);
    if (kind === 'string' || kind === 'bytes') vector(at, () => undefined, 1);
    if (kind === 'table') table(of!, follow(at));
    if (kind === 'tables') vector(at, (item) => table(of!, follow(item)), 4);
    if (kind === 'union') {
      const target = Object.values(members!)[member - 1];
      if (target) table(target, follow(at));
    }
  };
  const table = ({ fields }: AnyTable, at: number): void => {
    places.push({ at, width: 4, what: 'offset' });
    const vtable = at - view.getInt32(at, true);
    places.push({ at: vtable, width: 2, what: 'vtable' });
    const slot = (id: number): number => {
      const entry = vtable + 4 + 2 * id;
      if (4 + 2 * id >= view.getUint16(vtable, true)) return 0;
      places.push({ at: entry, width: 2, what: 'vtable' });
      const offset = view.getUint16(entry, true);
      return offset === 0 ? 0 : at + offset;
    };
    for (const item of Object.values(fields)) {
      const place = slot(item.id);
      if (item.kind !== 'union') {
        if (place > 0) field(item, place, 0);
        continue;
      }
      if (place > 0) places.push({ at: place, width: 1, what: 'scalar' });
      const value = slot(item.id + 1);
      if (place > 0 && value > 0) field(item, value, view.getUint8(place));
    }
  };
  table(root, follow(0));
  return places;
}
