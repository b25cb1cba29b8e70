/** Addresses of servers. */
import { expect, it } from 'vitest';
import { parseServers } from './parse-servers.js';

it('reads one or several, with who is asking', () => {
  expect(parseServers('broker')).toEqual({ hosts: ['broker:4222'], tls: false, credentials: undefined });
  expect(parseServers('nats://a:1, tls://b')).toEqual({ hosts: ['a:1', 'b:4222'], tls: true, credentials: undefined });
  expect(parseServers(['nats://me:s%40fe@[::1]:4333'])).toEqual({ hosts: ['[::1]:4333'], tls: false, credentials: { kind: 'password', user: 'me', password: 's@fe' } });
  expect(parseServers('nats://secret@h')).toMatchObject({ credentials: { kind: 'token', token: 'secret' } });
});

it.each([
  '', 'http://a', 'nats://', 'nats://a/path', 'nats://a:port', 'nats://me:hidden@a/path', 'me:hidden@a:4222/path', 'nats://me:hid/den@a:4222', 'nats://me:hid@den@a:port', 'nats://me:hid#den@a',
  'nats://hidden:12#ab@a', 'hidden:12?ab@a', 'me:hidden://ab@a', 'hidden://ab@a', 'nats://me:hidden%zz@a', 'nats://hidden%er@a', 'nats://me:hidden,ab@a', 'nats://b,nats://me:hidden,ab/@a',
])('refuses %j and shows no secret', (text) => {
  expect(() => parseServers(text)).toThrow(expect.objectContaining({ code: 'E_OPTION', message: expect.not.stringMatching(/hid|den|ab@/) as string }));
});

it('shows what is wrong with an address', () => {
  expect(() => parseServers('nats://me:pa/ss@a:4222')).toThrow('nats://…@a:4222 is no address');
  expect(() => parseServers(['nats://b:1', 'http://a:4222'])).toThrow('http://a:4222 is no address');
});
