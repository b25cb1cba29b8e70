/** Everything the module exports. Positions are bytes in the imported memory; counts are elements. */
export { addFloats, addScalar, multiplyFloats, multiplyScalar } from './arithmetic';
export { bfloat16ToFloat32, float16ToFloat32, float32ToBfloat16, float32ToFloat16 } from './cast-half';
export { float32ToInt8, float32ToUint8, int8ToFloat32, uint8ToFloat32 } from './cast-int';
export { pruneCells } from './cells';
export { dequantizeBlocks } from './dequantize';
export { encodeQ4_0, encodeQ8_0 } from './encode-blocks';
export { gridColumns, projectBlocks, projectLines, straightThroughBlocks, straightThroughLines } from './on-grid';
export { pack, unpack } from './pack';
export { quantizeBlocks } from './quantize-dispatch';
export { addProduct, projectRows, solveLower } from './panel';
export { errorStats, minMax, products } from './stats';
export { transpose2d } from './transpose';
export { adamW, blend, dropMask, holdZeros, lion, momentum, sumSquares } from './updates';
export { unpackQ2_K, unpackQ3_K, unpackQ4_K, unpackQ5_K, unpackQ6_K } from './unpack-k';
export { unpackQ4_0, unpackQ4_1, unpackQ5_0, unpackQ5_1, unpackQ8_0 } from './unpack-simple';
export { unpackIQ4_NL, unpackIQ4_XS, unpackMXFP4 } from './unpack-table';
export { moveScales, pairCodes, scaleCodes, shiftCodes, splitCodes } from './unpacked';
