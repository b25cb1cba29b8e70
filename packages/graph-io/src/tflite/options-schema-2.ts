/** BuiltinOptions2 of the TFLite schema, the union of options that came after the first was full, in its order. */
import { bool, bytes, int32, int32s, int64, int64s, int8, string, table, uint8s } from './field-table.js';

export const optionTables2 = {
  StablehloConcatenateOptions: table('StablehloConcatenateOptions', { dimension: int64(0) }),
  StablehloBroadcastInDimOptions: table('StablehloBroadcastInDimOptions', { broadcastDimensions: int64s(0) }),
  StablehloSliceOptions: table('StablehloSliceOptions', { startIndices: int64s(0), limitIndices: int64s(1), strides: int64s(2) }),
  StablehloConvolutionOptions: table('StablehloConvolutionOptions', { windowStrides: int64s(0), padding: int64s(1), lhsDilation: int64s(2), rhsDilation: int64s(3), windowReversal: uint8s(4), inputBatchDimension: int64(5), inputFeatureDimension: int64(6), inputSpatialDimensions: int64s(7), kernelInputFeatureDimension: int64(8), kernelOutputFeatureDimension: int64(9), kernelSpatialDimensions: int64s(10), outputBatchDimension: int64(11), outputFeatureDimension: int64(12), outputSpatialDimensions: int64s(13), featureGroupCount: int64(14), batchGroupCount: int64(15) }),
  StablehloCustomCallOptions: table('StablehloCustomCallOptions', { callTargetName: string(0), hasSideEffect: bool(1), backendConfig: string(2), apiVersion: int32(3), calledComputations: int32s(4), customAttributes: bytes(5) }),
  StablehloReduceOptions: table('StablehloReduceOptions', { dimensions: int64s(0), bodySubgraphIndex: int32(1) }),
  StablehloScatterOptions: table('StablehloScatterOptions', { indicesAreSorted: bool(0), updateWindowDims: int64s(1), insertedWindowDims: int64s(2), scatterDimsToOperandDims: int64s(3), indexVectorDim: int64(4), uniqueIndices: bool(5), updateComputationSubgraphIndex: int32(6) }),
  StablehloCompareOptions: table('StablehloCompareOptions', { comparisonDirection: int32(0), compareType: int32(1) }),
  StablehloDynamicSliceOptions: table('StablehloDynamicSliceOptions', { sliceSizes: int64s(0) }),
  StablehloPadOptions: table('StablehloPadOptions', { edgePaddingLow: int64s(0), edgePaddingHigh: int64s(1), interiorPadding: int64s(2) }),
  StablehloIotaOptions: table('StablehloIotaOptions', { iotaDimension: int64(0) }),
  StablehloDotGeneralOptions: table('StablehloDotGeneralOptions', { lhsBatchingDimensions: int64s(0), rhsBatchingDimensions: int64s(1), lhsContractingDimensions: int64s(2), rhsContractingDimensions: int64s(3) }),
  StablehloReduceWindowOptions: table('StablehloReduceWindowOptions', { windowDimensions: int64s(0), windowStrides: int64s(1), baseDilations: int64s(2), windowDilations: int64s(3), padding: int64s(4), bodySubgraphIndex: int32(5) }),
  StablehloSortOptions: table('StablehloSortOptions', { dimension: int64(0), isStable: bool(1), comparatorSubgraphIndex: int32(2) }),
  StablehloWhileOptions: table('StablehloWhileOptions', { condSubgraphIndex: int32(0), bodySubgraphIndex: int32(1) }),
  StablehloGatherOptions: table('StablehloGatherOptions', { offsetDims: int64s(0), collapsedSliceDims: int64s(1), startIndexMap: int64s(2), indexVectorDim: int64(3), sliceSizes: int64s(4), indicesAreSorted: bool(5) }),
  StablehloTransposeOptions: table('StablehloTransposeOptions', { permutation: int64s(0) }),
  DilateOptions: table('DilateOptions', {}),
  StablehloRngBitGeneratorOptions: table('StablehloRngBitGeneratorOptions', { algorithm: int8(0) }),
  ReduceWindowOptions: table('ReduceWindowOptions', { reduceFunction: int32(0) }),
  StableHLOCompositeOptions: table('StableHLOCompositeOptions', { name: string(0), decompositionSubgraphIndex: int32(1), compositeAttributes: bytes(2), compositeAttributesFormat: int8(3), version: int32(4) }),
  StablehloShiftLeftOptions: table('StablehloShiftLeftOptions', {}),
  StablehloCaseOptions: table('StablehloCaseOptions', { branchSubgraphIndices: int32s(0) }),
} as const;
