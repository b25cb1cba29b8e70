/** A unit of systemd that may read its models, answer on its port, and nothing else. */
import { PenjingError } from '@penjing/core';
import { configText, type Deployed, type DeploymentOptions } from './deployment.js';

type Lines = readonly (readonly [key: string, value: string])[];

/** Throws `E_OPTION` for models in /tmp: the service has one of its own. */
export function renderSystemd(options: DeploymentOptions): Deployed {
  const { name } = options;
  const fleeting = options.models.find(({ folder }) => /^(\/var)?\/tmp(\/|$)/.test(folder));
  if (fleeting) throw new PenjingError('E_OPTION', `${fleeting.folder} does not last, and the service does not see it`, { hint: 'Put the model elsewhere, as /srv/models.' });
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
function sandboxOf({ models, port }: DeploymentOptions): Lines {
  const low = port < 1024 ? 'CAP_NET_BIND_SERVICE' : '';
  const atHome = models.some(({ folder }) => /^\/(home|root|run\/user)(\/|$)/.test(folder));
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

/** Spaces separate, and % begins a specifier. */
function quoted(path: string): string {
  const plain = path.replaceAll('%', '%%');
  return /[\s"'\\]/.test(plain) ? `"${plain.replace(/["\\]/g, '\\$&')}"` : plain;
}
