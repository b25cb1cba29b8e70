/** A pickle machine that builds data and calls nothing: every function a pickle wants called is one of our own table. */
import { opcodes } from './opcodes.js';
import { PickleMachine, type PickleRules } from './pickle-machine.js';
import type { PyValue } from './values.js';

export interface Unpickled {
  readonly value: PyValue;
  /** The byte after the last. */
  readonly end: number;
}

/**
 * The first pickle in `bytes`, of protocol 0 to 5. Throws `E_PICKLE` for a malformed one, `E_UNSAFE` for one that wants
 * something called that is not data, `E_LIMIT`, and `PickleEndsEarly` when the bytes end before it does.
 */
export function unpickle(bytes: Uint8Array, rules: PickleRules, uri: string): Unpickled {
  const machine = new PickleMachine(bytes, rules, uri);
  while (!machine.stopped) {
    const at = machine.position;
    const code = machine.byte();
    const opcode = opcodes.get(code);
    if (!opcode) throw machine.invalid(`byte ${at} is 0x${code.toString(16).padStart(2, '0')}, which is no instruction`);
    opcode(machine);
  }
  return { value: machine.result(), end: machine.position };
}
