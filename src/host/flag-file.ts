/** The flag file of the maintenance page: whose it is, put there whole, removed only by whoever may. */
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { KirikaeError, codeOf, failWith } from '../errors';

/** Whose a flag is. */
export interface FlagOwner {
  claim: string;
  window: number;
}

/**
 * Puts the flag there. One that already is ours stays untouched; one of an older window of the same claim, or without a
 * claim (put there by hand), becomes ours. Everything happens in one tick.
 * @throws KirikaeError Overtaken, with the flag left as it is, when it names a newer window of the claim or another claim
 */
export function putFlag(file: string, owner: FlagOwner): void {
  doing(`The maintenance flag ${file} can't be put there`, () => {
    const found = readFlag(file);
    if (found !== null) {
      refuseForeign(file, found, owner);
      if (found.claim === owner.claim && found.window === owner.window) return;
    }
    mkdirSync(path.dirname(file), { recursive: true });
    writeWhole(file, textOf(owner));
  });
}

/**
 * Removes the flag if it is there: ours, of an older window of the same claim, or without a claim. Whoever put one there by
 * hand during a run did what the run does, and expects the page to come down with it. Everything happens in one tick.
 * @throws KirikaeError Overtaken, with the flag left as it is, when it names a newer window of the claim or another claim
 */
export function removeFlag(file: string, owner: FlagOwner): void {
  doing(`The maintenance flag ${file} can't be removed`, () => {
    const found = readFlag(file);
    if (found === null) return;
    refuseForeign(file, found, owner);
    rmSync(file, { force: true });
    flushFolder(file);
  });
}

interface Flag {
  /** Null for a flag that people put there. */
  claim: string | null;
  window: number;
}

function readFlag(file: string): Flag | null {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw error;
  }
  return {
    claim: /^claim (\S+)$/m.exec(text)?.[1] ?? null,
    window: Number(/^window (\d+)$/m.exec(text)?.[1] ?? 0),
  };
}

function textOf({ claim, window }: FlagOwner): string {
  return `maintenance by kirikae\nclaim ${claim}\nwindow ${window}\n`;
}

function refuseForeign(file: string, found: Flag, owner: FlagOwner): void {
  if (found.claim === null) return;
  const whose = `names window ${found.window} of claim ${found.claim}`;
  if (found.claim !== owner.claim) {
    throw new KirikaeError(
      'Overtaken',
      `The maintenance flag ${file} ${whose}, but this run has claim ${owner.claim} (window ${owner.window}). The flag was left as it is. If the run of the other claim is over, remove the file and send retry.`,
    );
  }
  if (found.window > owner.window) {
    throw new KirikaeError(
      'Overtaken',
      `The maintenance flag ${file} ${whose}, and this attempt is of window ${owner.window}, which is over. The flag was left as it is; window ${found.window} takes the page down.`,
    );
  }
}

// A web server, or another attempt, never sees half a flag, and a crash of the machine doesn't take it back.
function writeWhole(file: string, text: string): void {
  const fresh = `${file}.${process.pid}.new`;
  try {
    writeFileSync(fresh, text, { flush: true });
    renameSync(fresh, file);
  } catch (error) {
    rmSync(fresh, { force: true });
    throw error;
  }
  flushFolder(file);
}

function flushFolder(file: string): void {
  const folder = openSync(path.dirname(file), 'r');
  try {
    fsyncSync(folder);
  } catch {
    // Some file systems can't; the flag itself is as it should be.
  } finally {
    closeSync(folder);
  }
}

function doing(what: string, work: () => void): void {
  try {
    work();
  } catch (error) {
    failWith(error, (why) => `${what}: ${why}. Let the worker's user read and write there, then send retry.`);
  }
}
