/**
 * ATen operators to ONNX, one table for torch.export files, TorchScript, and modules.
 *
 *     const model = new Model();
 *     model.opsetImports.set('', 21);
 *     const c = new AtenContext(model);                       // builds into model.graph, infers types as it grows
 *     const x = c.builder.input('x', tensorType('float32', ['N', 100]));
 *     const w = c.builder.initializer('weight', tensor);      // lazy tensors stay lazy
 *     const y = callAten(c, 'aten.linear', [x, w, null]);     // positional, then keyword: { alpha: 2 }
 *     c.builder.output(y as Value, 'y');
 *     finishAten(model);                                      // drops what nothing reads, folds turned weights
 *
 * Arguments are graph values, numbers, booleans, strings, null, lists of those; element types by name ('float32'); a
 * number that is computed in the graph is a `Sym`. The overload (`aten.add.Tensor`) may be left out: the arguments decide.
 */
export { AtenContext } from './context.js';
export { type Cell, Environment, isCell } from './environment.js';
export { atenFamilies, atenOperators, callAten, hasAten, isInPlace } from './table.js';
export { finishAten } from './finish.js';
export { type AtenArgument, type AtenResult, dtypeOfC10, dtypeOfExport, type Float, isFloatScalar, isSym, isValue, type Scalar, type Sym, type SymInt } from './values.js';
