/** A unit of systemd that may read its models, answer on its port, and nothing else. */
import { PenjingError } from '@penjing/core';
import { configText, type Deployed, type DeploymentOptions } from './deployment.js';

type Lines = readonly (readonly [key: string, value: string])[];

/** As systemd takes it: a name, or a number. */
const USER = /^([A-Za-z_][A-Za-z0-9_-]{0,30}|[0-9]{1,10})$/;

/** Throws `E_OPTION` for what is in /tmp (the service has one of its own), an executable without its whole path, and what would be lines or words of its own in the unit. */
export function renderSystemd(options: DeploymentOptions): Deployed {
  const { name, command, user } = options;
  if (!command.startsWith('/')) throw new PenjingError('E_OPTION', `${JSON.stringify(command)} is not the whole path of an executable`, { hint: 'systemd looks it up nowhere: --command "$(command -v penjing)".' });
  if (user !== undefined && !USER.test(user)) throw new PenjingError('E_OPTION', `${JSON.stringify(user)} is no name of a user`, { hint: 'It has letters, digits, _ and -.' });
  const fleeting = needed(options).find((path) => /^(\/var)?\/tmp(\/|$)/.test(path));
  if (fleeting !== undefined) throw new PenjingError('E_OPTION', `${fleeting} does not last, and the service does not see it`, { hint: 'Put it elsewhere, as /srv/models.' });
  const sections: readonly (readonly [section: string, lines: Lines])[] = [['Unit', unitOf(options)], ['Service', [...serviceOf(options), ...sandboxOf(options)]], ['Install', [['WantedBy', 'multi-user.target']]]];
  const text = sections.map(([section, lines]) => `[${section}]\n${lines.map(([key, value]) => `${key}=${value}\n`).join('')}`).join('\n');
  return {
    files: [
      { path: `${name}.service`, text },
      { path: `${name}.json`, text: configText(options, '127.0.0.1', ({ path }) => path) },
    ],
    next: [
      `sudo install -D -m 644 ${name}.json /etc/penjing/${name}.json`,
      `sudo install -m 644 ${name}.service /etc/systemd/system/`,
      `sudo systemctl daemon-reload && sudo systemctl enable --now ${name}`,
      `a key, before the address in ${name}.json is made public: PENJING_API_KEY=… in /etc/penjing/${name}.env, mode 600`,
    ],
  };
}

/** What the service must be able to read. */
const needed = ({ command, models }: DeploymentOptions): readonly string[] => [command, ...models.map(({ folder }) => folder)];

function unitOf({ name, models }: DeploymentOptions): Lines {
  return [['Description', `Penjing model server (${name})`], ['Wants', 'network-online.target'], ['After', 'network-online.target'], ['RequiresMountsFor', models.map(({ folder }) => quoted(folder)).join(' ')]];
}

function serviceOf({ name, command, user, drainSeconds }: DeploymentOptions): Lines {
  return [
    ['Type', 'exec'],
    ['ExecStart', `${quoted(command)} serve --config /etc/penjing/${name}.json`],
    ['EnvironmentFile', `-/etc/penjing/${name}.env`],
    ['Environment', 'NODE_ENV=production'],
    ...(user === undefined ? ([['DynamicUser', 'yes']] as const) : ([['User', user]] as const)),
    ['Restart', 'on-failure'],
    ['RestartSec', '2'],
    // The server alone is told to end; it lets its models finish.
    ['KillMode', 'mixed'],
    ['TimeoutStopSec', String(drainSeconds + 10)],
    // A model's process that takes too much memory is started again by the server; systemd would end them all.
    ['OOMPolicy', 'continue'],
    ['LimitNOFILE', '65536'],
  ];
}

/** No MemoryDenyWriteExecute: V8 compiles what it runs. */
function sandboxOf(options: DeploymentOptions): Lines {
  const low = options.port < 1024 ? 'CAP_NET_BIND_SERVICE' : '';
  const atHome = needed(options).some((path) => /^\/(home|root|run\/user)(\/|$)/.test(path));
  return [
    ['NoNewPrivileges', 'yes'],
    ['CapabilityBoundingSet', low],
    ['AmbientCapabilities', low],
    ['ProtectSystem', 'strict'],
    ['ProtectHome', atHome ? 'read-only' : 'yes'],
    ['PrivateTmp', 'yes'],
    ['PrivateDevices', 'yes'],
    ['ProtectClock', 'yes'],
    ['ProtectControlGroups', 'yes'],
    ['ProtectHostname', 'yes'],
    ['ProtectKernelLogs', 'yes'],
    ['ProtectKernelModules', 'yes'],
    ['ProtectKernelTunables', 'yes'],
    ['ProtectProc', 'invisible'],
    ['RestrictAddressFamilies', 'AF_INET AF_INET6 AF_UNIX'],
    ['RestrictNamespaces', 'yes'],
    ['RestrictRealtime', 'yes'],
    ['RestrictSUIDSGID', 'yes'],
    ['RemoveIPC', 'yes'],
    ['LockPersonality', 'yes'],
    ['SystemCallArchitectures', 'native'],
    ['SystemCallFilter', '@system-service'],
    ['SystemCallErrorNumber', 'EPERM'],
    ['UMask', '0077'],
  ];
}

/** Spaces separate, % begins a specifier, and a line break would begin a directive. */
function quoted(path: string): string {
  if (/\p{Cc}/u.test(path)) throw new PenjingError('E_OPTION', `${JSON.stringify(path)} has control characters, which a unit cannot carry`);
  const plain = path.replaceAll('%', '%%');
  return /[\s"'\\]/.test(plain) ? `"${plain.replace(/["\\]/g, '\\$&')}"` : plain;
}
