/** Who waits for a client is told that it has left: once, with a reason, and not after its listener is off. */
import { Socket } from 'node:net';
import { expect, test, vi } from 'vitest';
import { leavingOf } from './leaving.js';

test('a connection that closes tells all that wait, once', async () => {
  const socket = new Socket();
  const leaving = leavingOf(socket);
  expect(leavingOf(socket)).toBe(leaving);
  const [waits, off, again] = [vi.fn(), vi.fn(), vi.fn(() => leaving.removeEventListener('abort', again))];
  for (const listener of [waits, off, again]) leaving.addEventListener('abort', listener);
  leaving.removeEventListener('abort', off);
  expect(leaving.aborted).toBe(false);
  socket.destroy();
  await vi.waitFor(() => expect(waits).toHaveBeenCalledOnce());
  expect(off).not.toHaveBeenCalled();
  expect(again).toHaveBeenCalledOnce();
  expect(leaving).toMatchObject({ aborted: true, reason: { name: 'AbortError' } });
});

test('a connection that is closed already has been left', () => {
  expect(leavingOf(new Socket().destroy()).aborted).toBe(true);
});
