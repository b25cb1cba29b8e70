/** Operators on 8 bits whose results are those of TensorFlow Lite's own kernels (no delegate), number by number. */
import type { BuiltinOperator } from '../../operators-schema.js';
import { exactElementwise } from './elementwise.js';
import { exactProducts } from './products.js';
import type { ExactRow } from './range.js';
import { exactReductions } from './reductions.js';
import { exactResize } from './resize.js';
import { exactTables } from './tables.js';

export const exactTable: Readonly<Partial<Record<BuiltinOperator, ExactRow>>> = { ...exactProducts, ...exactElementwise, ...exactReductions, ...exactTables, RESIZE_BILINEAR: exactResize };

/** Operators that only move or choose numbers: with one grid for all they need no arithmetic. */
export const movesCodes: ReadonlySet<BuiltinOperator> = new Set<BuiltinOperator>([
  'RESHAPE', 'TRANSPOSE', 'CONCATENATION', 'PAD', 'MIRROR_PAD', 'SLICE', 'STRIDED_SLICE', 'SPLIT', 'SPLIT_V', 'PACK', 'UNPACK', 'GATHER', 'GATHER_ND', 'SQUEEZE',
  'EXPAND_DIMS', 'TILE', 'BROADCAST_TO', 'REVERSE_V2', 'MAX_POOL_2D', 'MAXIMUM', 'MINIMUM', 'REDUCE_MAX', 'REDUCE_MIN', 'RESIZE_NEAREST_NEIGHBOR', 'DEPTH_TO_SPACE',
  'SPACE_TO_DEPTH', 'SPACE_TO_BATCH_ND', 'BATCH_TO_SPACE_ND',
]);
