/** Checks a unit of systemd where there is no systemd: directives and values as systemd.unit(5), systemd.service(5), systemd.exec(5) and systemd.kill(5) have them, as far as ours use them. */

type Check = RegExp;

const boolean: Check = /^(yes|no|true|false)$/;
const text: Check = /^\S.*$/;
const units: Check = /^[\w@.-]+\.(target|service)( [\w@.-]+\.(target|service))*$/;
const seconds: Check = /^\d+$/;
const capabilities: Check = /^(CAP_[A-Z_]+( CAP_[A-Z_]+)*)?$/;

const directives: Readonly<Record<string, Readonly<Record<string, Check>>>> = {
  Unit: { Description: text, Documentation: text, Wants: units, After: units, RequiresMountsFor: /^("?\/[^"]*"?)( "?\/[^"]*"?)*$/ },
  Service: {
    Type: /^(simple|exec|forking|oneshot|dbus|notify|idle)$/, ExecStart: /^"?\//, EnvironmentFile: /^-?\//, Environment: /^\w+=/, DynamicUser: boolean, User: /^[a-z_][a-z0-9_-]*$/,
    Restart: /^(no|on-success|on-failure|on-abnormal|on-watchdog|on-abort|always)$/, RestartSec: seconds, KillMode: /^(control-group|mixed|process|none)$/, TimeoutStopSec: seconds,
    OOMPolicy: /^(continue|stop|kill)$/, LimitNOFILE: seconds, NoNewPrivileges: boolean, CapabilityBoundingSet: capabilities, AmbientCapabilities: capabilities,
    ProtectSystem: /^(yes|no|full|strict)$/, ProtectHome: /^(yes|no|read-only|tmpfs)$/, PrivateTmp: boolean, PrivateDevices: boolean, ProtectClock: boolean, ProtectControlGroups: boolean, ProtectHostname: boolean,
    ProtectKernelLogs: boolean, ProtectKernelModules: boolean, ProtectKernelTunables: boolean, ProtectProc: /^(noaccess|invisible|ptraceable|default)$/, RestrictAddressFamilies: /^AF_[A-Z0-9]+( AF_[A-Z0-9]+)*$/,
    RestrictNamespaces: boolean, RestrictRealtime: boolean, RestrictSUIDSGID: boolean, RemoveIPC: boolean, LockPersonality: boolean, SystemCallArchitectures: /^native$/, SystemCallFilter: /^~?[@\w-]+( [@\w-]+)*$/,
    SystemCallErrorNumber: /^E[A-Z]+$/, UMask: /^0[0-7]{3}$/,
  },
  Install: { WantedBy: units },
};

/** What is wrong, in order; nothing for a unit that systemd would take. */
export function unitFaults(unit: string): readonly string[] {
  let section = '';
  return unit.split('\n').flatMap((line) => {
    if (line === '' || line.startsWith('#')) return [];
    const header = /^\[(\w+)\]$/.exec(line);
    if (header) {
      section = header[1]!;
      return section in directives ? [] : [line];
    }
    const [key, ...rest] = line.split('=');
    const check = directives[section]?.[key!];
    // Of a section that there is not, nothing more is said.
    if (!check) return section in directives ? [`[${section}] ${key}`] : [];
    return check.test(rest.join('=')) ? [] : [`[${section}] ${line}`];
  });
}
