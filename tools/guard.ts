/** Ends a server when the process that started it is gone, however it went: even a SIGKILL leaves nothing running. */
import { spawn } from 'node:child_process';
import type { Socket } from 'node:net';

// Its standard input is a pipe from this process: the end of the pipe is the end of this process.
const script = `
pid=
while read -r line; do
  case $line in
    done) exit 0 ;;
    *) pid=$line ;;
  esac
done
if [ -n "$pid" ]; then
  kill -s "$1" "$pid" 2>/dev/null
  tries=0
  while kill -0 "$pid" 2>/dev/null && [ $tries -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
  kill -s KILL "$pid" 2>/dev/null
fi
if [ -n "$2" ]; then rm -rf "$2"; fi
`;

export interface Guard {
  /** Names the process to end; replaces the one named before. */
  watch: (pid: number) => void;
  /** The server has ended and its folder is removed: nothing is left to guard. */
  dismiss: () => void;
}

/** Starts a guard. `signal` ends the server; `folder`, if any, is removed afterwards. */
export function startGuard(signal: 'QUIT' | 'TERM', folder = ''): Guard {
  const child = spawn('/bin/sh', ['-c', script, 'guard', signal, folder], {
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  const pipe = child.stdin as Socket;
  pipe.on('error', () => undefined);
  child.on('error', () => undefined);
  child.unref();
  pipe.unref();
  return {
    watch: (pid) => void pipe.write(`${pid}\n`),
    dismiss: () => void pipe.end('done\n'),
  };
}
