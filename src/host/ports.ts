/** The local TCP ports that a process group has open on this host, as Linux tells them. */
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';

/** @param group id of the process that leads it @returns null where it can't be told: there is no /proc, or it belongs to somebody else */
export function portsOf(group: number): Set<number> | null {
  try {
    const sockets = new Set(membersOf(group).flatMap(socketsOf));
    return new Set(
      ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((file) =>
        linesOf(file).flatMap((line) => {
          const [, local = '', , , , , , , , inode = ''] = line.trim().split(/\s+/);
          return sockets.has(inode) ? [parseInt(local.split(':')[1] ?? '', 16)] : [];
        }),
      ),
    );
  } catch {
    return null;
  }
}

// Behind the name, which may hold anything in parentheses: state, parent, process group.
function membersOf(group: number): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    const [stat = ''] = linesOf(`/proc/${pid}/stat`);
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[2]) === group;
  });
}

function socketsOf(pid: string): string[] {
  let names: string[];
  try {
    names = readdirSync(`/proc/${pid}/fd`);
  } catch {
    // It has ended meanwhile.
    return [];
  }
  return names.flatMap((name) => {
    try {
      return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${name}`))?.[1] ?? [];
    } catch {
      return [];
    }
  });
}

function linesOf(file: string): string[] {
  try {
    return readFileSync(file, 'utf8').split('\n');
  } catch {
    return [];
  }
}
