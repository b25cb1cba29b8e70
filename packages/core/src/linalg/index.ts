/** @penjing/core/linalg: factorisations and projections with an engine as BLAS. */
export { type Matrix, type Operand, type Products, type WideOperand, matrixProducts } from './products.js';
export { type CholeskyOptions, cholesky } from './cholesky.js';
export { solveTransposed } from './solve-upper.js';
export { type FactorOptions, type HessianFactor, factorHessian } from './hessian.js';
export { type Constraint, type GroupRows, type Projection, type ProjectMatrixOptions, type ProjectedMatrix, type RowGroup, projectMatrix } from './project-matrix.js';
export { type SymmetricEigen, type SymmetricEigenOptions, symmetricEigen } from './symmetric-eigen.js';
export { type Svd, type SvdOptions, svd } from './svd.js';
