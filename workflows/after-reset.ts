/** The steps from the destructive reset to the end: new schema, rows, proof, deploy, going live, watching. */
import { CancellationScope, condition, executeChild, isCancellation } from '@temporalio/workflow';
import { database, hostOf } from './calls';
import { copyRows } from './copy-rows';
import { RollBackGranted, problemOf } from './failures';
import { monitorProduction } from './monitor';
import { now, type Run } from './run';
import { tell } from './before-reset';

export async function reset(run: Run): Promise<void> {
  await run.doStep('reset', async () => {
    await run.indexing?.done;
    await database.confirmClaim({ run: run.ref() });
    await hostOf(run.plan.hostQueue).probePage({ run: run.ref() });
    await database.reset({ run: run.ref() });
  });
}

export async function deploySchema(run: Run): Promise<void> {
  await run.doStep('deploySchema', () => hostOf(run.plan.hostQueue).deploySchema({ run: run.ref() }));
}

export async function migrate(run: Run): Promise<void> {
  await run.doStep('migrate', async () => {
    const plan = await database.beginMigrate({ run: run.ref() });
    const rows = await copyRows(run, 'migrate', { name: 'migrate', attempt: 1 }, plan.groups);
    run.at('migrate').rowsTotal = rows;
    await database.finishMigrate({ run: run.ref() });
  });
}

/** Proves the result, then lifts the fence. */
export async function verify(run: Run): Promise<void> {
  await run.doStep('verify', async () => {
    const verified = await database.verify({ run: run.ref() });
    run.tables = verified.tables;
    run.dropped = verified.dropped;
    run.at('verify').rows = verified.rows;
    run.at('verify').rowsTotal = verified.rows;
    for (const name of verified.assertions) record(run, 'verify', name, true, 'no row returned');
    await database.liftFence({ run: run.ref() });
  });
}

export async function deploy(run: Run): Promise<void> {
  await run.doStep('deploy', async () => {
    const host = hostOf(run.plan.hostQueue);
    await database.confirmClaim({ run: run.ref() });
    await host.probePage({ run: run.ref() });
    for (const [index, { name }] of run.plan.deploys.entries()) {
      if (!run.deploysBegun.includes(index)) run.deploysBegun.push(index);
      const detail = await host.deploy.executeWithOptions({ summary: name }, [
        { run: run.ref(), index, back: false },
      ]);
      record(run, 'deploy', name, true, detail);
    }
  });
}

export async function smoke(run: Run): Promise<void> {
  await run.doStep('smoke', async () => {
    for (const { name, kind } of run.plan.smoke) {
      if (kind === 'manual') await awaitConfirmation(run, name);
      else await checkNow(run, name, kind, false);
    }
  });
}

/** Runs one automatic check and notes its result. @throws what the check throws */
export async function checkNow(run: Run, name: string, kind: string, back: boolean): Promise<void> {
  const where = kind === 'command' ? hostOf(run.plan.hostQueue) : database;
  try {
    const detail = await where.smoke.executeWithOptions({ summary: name }, [
      { run: run.ref(back), name, back },
    ]);
    record(run, 'smoke', name, true, detail);
  } catch (error) {
    record(run, 'smoke', name, false, problemOf(error).message);
    throw error;
  }
}

async function awaitConfirmation(run: Run, name: string): Promise<void> {
  const status = run.at('smoke');
  status.state = 'waiting';
  run.awaitedCheck = name;
  run.wait(
    `a person to confirm the manual check "${name}"`,
    `Confirm with: kirikae confirm ${run.id} --by NAME --check '${name.replaceAll("'", `'\\''`)}' (or --failed)`,
  );
  await condition(() => run.confirmations.has(name));
  run.awaitedCheck = null;
  run.goOn();
  status.state = 'running';
  const answer = run.confirmations.get(name);
  record(run, 'smoke', name, answer?.passed === true, `said ${answer?.by ?? ''}`);
  if (answer?.passed !== true)
    throw new Error(`The manual check "${name}" failed, said ${answer?.by ?? ''}.`);
}

/** The point of no return: the mark `live` first, then the page down; what fails is retried by a person, never undone. */
export async function goLive(run: Run): Promise<void> {
  await run.doStep('maintenanceOff', async () => {
    await CancellationScope.nonCancellable(() => database.markLive({ run: run.ref() }));
    run.live = true;
    await run.insist('Taking the maintenance page down', async () => {
      await hostOf(run.plan.hostQueue).maintenanceOff({ run: run.ref(true) });
      await database.notePage({ run: run.ref(true), on: false });
    });
    run.pageOffAt = Date.now();
  });
  await writeReport(run);
  await tell(
    run,
    `${run.plan.name}: the migration is live; the maintenance page is down (workflow ${run.id}).`,
  );
}

/** A day of watching by a child workflow. @throws RollBackGranted when persons want the old database back */
export async function monitor(run: Run): Promise<void> {
  let forMs = run.plan.monitor.forMs;
  let round = 0;
  const checks = run.plan.smoke.filter((check) => check.kind !== 'manual');
  await run.doStep('monitor', async () => {
    for (;;) {
      round += 1;
      run.wait(
        null,
        `Nothing: monitored until ${new Date(Date.now() + forMs).toISOString()}. The way back: kirikae roll-back ${run.id} --by NAME --accept-loss`,
      );
      const watched = await watchOrRollBack(run, () =>
        executeChild(monitorProduction, {
          workflowId: `${run.id}-monitor-${run.info.runId.slice(0, 8)}-${round}`,
          args: [
            {
              run: run.ref(true),
              hostQueue: run.plan.hostQueue,
              checks,
              everyMs: run.plan.monitor.everyMs,
              untilMs: Date.now() + forMs,
            },
          ],
        }),
      );
      record(
        run,
        'monitor',
        `${watched.rounds} rounds of ${checks.length} checks`,
        watched.failing === null,
        watched.failing?.error ?? 'all passed',
      );
      if (watched.failing === null) return;
      await tell(
        run,
        `${run.plan.name}: the check "${watched.failing.name}" fails: ${watched.failing.error}`,
      );
      forMs = Math.max(0, watched.untilMs - Date.now());
      run.awaitsRetry = true;
      run.at('monitor').state = 'waiting';
      run.note(`The check "${watched.failing.name}" failed while monitoring: ${watched.failing.error}`);
      run.wait(
        `a person: the check "${watched.failing.name}" fails (${watched.failing.error})`,
        `Repair it, then kirikae retry ${run.id} --by NAME goes on watching; or kirikae roll-back ${run.id} --by NAME --accept-loss.`,
      );
      await watchOrRollBack(run, () => condition(() => !run.awaitsRetry));
      run.at('monitor').state = 'running';
    }
  });
}

/** Deletes the backup after a second approval, or keeps it. @throws RollBackGranted as long as it is there */
export async function retireBackup(run: Run): Promise<void> {
  await run.doStep('retireBackup', async () => {
    if (!run.plan.retireAfterApproval) {
      run.note(`The backup ${run.plan.backupDatabase} is kept (retireBackup.after is never).`);
      return;
    }
    run.at('retireBackup').state = 'waiting';
    run.wait(
      `a person to retire the backup ${run.plan.backupDatabase}`,
      `kirikae retire-backup ${run.id} --by NAME deletes it; kirikae cancel ${run.id} ends the run and keeps it.`,
    );
    await watchOrRollBack(run, () => condition(() => run.retired !== null));
    run.goOn();
    await run.insist('Deleting the backup', () => database.dropBackup({ run: run.ref(true) }));
  });
}

// Whatever is waited for, enough votes for a roll back end the waiting.
async function watchOrRollBack<T>(run: Run, wait: () => Promise<T>): Promise<T> {
  const scope = new CancellationScope();
  const granted = () => run.rollBackVotes.size >= run.plan.approval.minimum;
  const waiting = scope.run(wait);
  const vote = scope.run(() => condition(granted));
  try {
    await Promise.race([waiting, vote]);
    if (granted()) throw new RollBackGranted(`Roll back asked for by ${[...run.rollBackVotes].join(', ')}.`);
    return await waiting;
  } finally {
    scope.cancel();
    await CancellationScope.nonCancellable(() => Promise.allSettled([waiting, vote]));
  }
}

/** Writes the report files; one that can't be written is a note. */
export async function writeReport(run: Run): Promise<void> {
  try {
    const { file } = await database.writeReport({ run: run.ref(true), report: run.report() });
    run.note(`Report: ${file}`);
  } catch (error) {
    if (isCancellation(error)) throw error;
    run.note(
      `The report was not written: ${problemOf(error).message} It can be had with kirikae report ${run.id} --out FILE.html.`,
    );
  }
}

function record(
  run: Run,
  step: 'verify' | 'deploy' | 'smoke' | 'monitor',
  name: string,
  passed: boolean,
  detail: string,
): void {
  run.checks.push({ step, name, passed, detail, at: now() });
}
