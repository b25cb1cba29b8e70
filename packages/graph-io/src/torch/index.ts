/** What PyTorch's exporters write, as ONNX models. */
export { type ConvertPt2Options, type ExportedProgram, convertPt2, openExportedProgram, openPt2 } from './pt2/index.js';
export { atenOperators } from './aten/index.js';
export { type ConvertTorchScriptOptions, type ScriptInput, openTorchScript } from './torchscript/convert.js';
