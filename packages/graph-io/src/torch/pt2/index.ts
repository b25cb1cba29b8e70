/** Programs that torch.export wrote (.pt2), as ONNX models. */
export { type ExportedProgram, openExportedProgram } from './archive.js';
export { type ConvertPt2Options, convertPt2, openPt2 } from './convert.js';
