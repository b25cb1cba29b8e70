/** An NKey of a user. */
import { createUser } from '@nats-io/nkeys';

export function newKey(): { readonly publicKey: string; readonly seed: string } {
  const key = createUser();
  return { publicKey: key.getPublicKey(), seed: new TextDecoder().decode(key.getSeed()) };
}
