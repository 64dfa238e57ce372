/** The end of a child process: when it has exited, whoever still holds its output. */
import type { ChildProcessByStdio } from 'node:child_process';
import type { Readable } from 'node:stream';

export type Child = ChildProcessByStdio<null, Readable, Readable>;

/** Exactly one of them is set. */
export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

const quietMs = 500;
const longestMs = 1000;

/** Waits until the process has exited. @throws the system's error when it can't be started */
export function exitOf(child: Child): Promise<Exit> {
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });
}

/**
 * Reads what an exited child has written to its end, then closes its pipes. All that the child itself wrote is read; a
 * process that it left holding them is waited for until it is silent for 500 ms, and 1 s at most.
 */
export async function drain(child: Child): Promise<void> {
  const pipes = [child.stdout, child.stderr];
  await new Promise<void>((resolve) => {
    // After a pause of this process timers come before what is there to be read; an immediate comes after it.
    const giveUp = () => setImmediate(resolve);
    const quiet = setTimeout(giveUp, quietMs);
    const longest = setTimeout(giveUp, longestMs);
    for (const pipe of pipes) pipe.on('data', () => quiet.refresh());
    const atEnd = () => {
      if (!pipes.every((pipe) => pipe.closed)) return;
      clearTimeout(quiet);
      clearTimeout(longest);
      resolve();
    };
    for (const pipe of pipes) pipe.once('close', atEnd);
    atEnd();
  });
  closePipes(child);
}

/** Reads no further: what still holds the other ends isn't waited for. */
export function closePipes({ stdout, stderr }: Child): void {
  stdout.destroy();
  stderr.destroy();
}
