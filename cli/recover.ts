/** `kirikae recover`: brings production to a safe end without Temporal, by what its ledger says. */
import os from 'node:os';
import { failureType, KirikaeError, sentence } from '../src/errors';
import { findPlan, missingVariables, readSettings, settingsFile } from '../src/settings/read';
import { recover } from '../src/way-back/recover';
import { CommandFailed } from './failures';
import { typedName } from './typed-name';
import { print, printJson, type Io } from './terminal';

export interface RecoverOptions {
  config?: string;
  json?: boolean;
  /** The name of production's database: answers the question. */
  yes?: string;
  acceptLoss?: boolean;
}

/**
 * Recovers a plan's production.
 * @returns 0 when production is safe, 1 when nothing was done because the name wasn't typed
 * @throws CommandFailed naming what stops it; the command may be repeated
 */
export async function recoverPlan(io: Io, planName: string, options: RecoverOptions): Promise<number> {
  const plan = findPlan(readSettings(settingsFile(options.config, io.env)), planName);
  const missing = missingVariables(plan, io.env);
  if (missing.length > 0) throw new CommandFailed(missing.join(' '));
  const said: string[] = [];
  const say = (text: string) => {
    said.push(text);
    if (!options.json) print(io, text);
  };
  const confirm = (question: string, database: string) =>
    typedName(io, { question, database, yes: options.yes }, { json: options.json === true });
  try {
    const isSafe = await recover(
      {
        plan,
        host: os.hostname(),
        acceptLoss: options.acceptLoss === true,
        signal: new AbortController().signal,
      },
      { say, confirm },
    );
    if (options.json) printJson(io, { ok: isSafe, plan: planName, said });
    return isSafe ? 0 : 1;
  } catch (error) {
    if (!(error instanceof KirikaeError) && failureType(error) === 'StepFailed') throw error;
    throw new CommandFailed(
      `${sentence(error)} Production is left as it is (page and fence included). Repair that, and run kirikae recover ${planName} again: it goes on from there.`,
    );
  }
}
