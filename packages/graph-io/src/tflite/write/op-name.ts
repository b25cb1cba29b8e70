/** Key of an operator in tables: its type, after its domain when that is not ai.onnx. */
import type { Node } from '@penjing/core';

export const opNameOf = ({ domain, opType }: Node): string => (domain === '' ? opType : `${domain}.${opType}`);
