/** Inference responses on HTTP, both ways. */
import { checkParameters, type InferResponse } from './infer.js';
import { decodeMessage, encodeMessage, optionalText, plain, type V2Body } from './json-message.js';

/** The body of a response; outputs that `isBinary` names (see `binaryOutputs`) go behind the JSON. Throws `E_REQUEST` for values that JSON cannot say. */
export function encodeInferResponse(response: InferResponse, isBinary: (name: string) => boolean): V2Body {
  const { modelName, modelVersion, id, parameters, outputs } = response;
  return encodeMessage({
    ...(modelName !== undefined && { model_name: modelName }), ...(modelVersion !== undefined && { model_version: modelVersion }),
    ...(id !== undefined && { id }), ...(parameters && { parameters: plain(parameters) }),
  }, 'outputs', outputs, isBinary);
}

/** Reads a response as clients get it, of ours or of any other server. */
export function decodeInferResponse(body: Uint8Array, headerLength?: number): InferResponse {
  const { fields, tensors } = decodeMessage(body, headerLength, 'outputs');
  const [modelName, modelVersion, id] = ['model_name', 'model_version', 'id'].map((name) => optionalText(fields[name], name));
  const parameters = checkParameters(fields['parameters'], 'the response');
  return { ...(modelName !== undefined && { modelName }), ...(modelVersion !== undefined && { modelVersion }), ...(id !== undefined && { id }), ...(parameters && { parameters }), outputs: tensors };
}
