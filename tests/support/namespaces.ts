/** Hosts of one machine: network namespaces behind a bridge, each with an address of its own. Needs root; everything is taken down again. */
import { execFileSync } from 'node:child_process';

export interface Namespaces extends Disposable {
  readonly addresses: readonly string[];
  /** Arguments that run a command on a host. */
  on(host: number): readonly string[];
  /** Pulls the plug of a host, or puts it back. */
  link(host: number, state: 'up' | 'down'): void;
}

const ip = (...args: string[]): void => void execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'], timeout: 20_000 });

/** Why tests that need namespaces are skipped, or undefined. */
export const noNamespaces: string | undefined = ((): string | undefined => {
  const name = `pj-try-${process.pid}`;
  try {
    ip('netns', 'add', name);
  } catch {
    return 'network namespaces cannot be made here';
  }
  try {
    ip('netns', 'exec', name, 'ip', 'link', 'add', 'pjtry0', 'type', 'veth', 'peer', 'name', 'pjtry1');
    ip('netns', 'exec', name, 'ip', 'link', 'add', 'pjtryb', 'type', 'bridge');
    return undefined;
  } catch {
    return 'pairs of interfaces and bridges cannot be made here';
  } finally {
    ip('netns', 'del', name);
  }
})();

/** The bridge stands in a namespace too, so that nothing of the machine itself is touched. */
export function makeNamespaces(count: number): Namespaces {
  const tag = `pj${process.pid % 100_000}`;
  const hub = `${tag}-hub`;
  const names = Array.from({ length: count }, (_, i) => `${tag}-${i}`);
  const made: string[] = [];
  const end = (): void => {
    for (const name of made.splice(0)) {
      try {
        ip('netns', 'del', name);
      } catch {
        // gone already
      }
    }
  };
  try {
    for (const name of [hub, ...names]) {
      ip('netns', 'add', name);
      made.push(name);
      ip('-n', name, 'link', 'set', 'lo', 'up');
    }
    ip('-n', hub, 'link', 'add', 'bridge0', 'type', 'bridge');
    ip('-n', hub, 'link', 'set', 'bridge0', 'up');
    names.forEach((name, i) => {
      ip('-n', name, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', `port${i}`, 'netns', hub);
      ip('-n', hub, 'link', 'set', `port${i}`, 'master', 'bridge0', 'up');
      ip('-n', name, 'addr', 'add', `10.77.0.${i + 1}/24`, 'dev', 'eth0');
      ip('-n', name, 'link', 'set', 'eth0', 'up');
    });
  } catch (error) {
    end();
    throw error;
  }
  return {
    addresses: names.map((_, i) => `10.77.0.${i + 1}`),
    on: (host) => ['ip', 'netns', 'exec', names[host]!],
    link: (host, state) => ip('-n', hub, 'link', 'set', `port${host}`, state),
    [Symbol.dispose]: end,
  };
}
