/** When a watch ends, and the exit code it ends with. */
import type { Outcome } from '../src/contract';
import type { RunView } from './run-view';

export interface Ending {
  exitCode: number;
  sentence: string;
}

const outcomes: Record<Outcome, Ending> = {
  migrated: { exitCode: 0, sentence: 'Migrated: production is new and verified.' },
  rehearsed: { exitCode: 0, sentence: 'Rehearsed: production was not touched.' },
  refused: {
    exitCode: 2,
    sentence: 'Refused by preflight: nothing was changed. The reasons are in the notes.',
  },
  'rolled-back': { exitCode: 3, sentence: 'Rolled back: production holds what the backup held.' },
  'needs-operator': {
    exitCode: 4,
    sentence:
      'Left to an operator: page and fence are as they were left. The commands that lift them are in the notes.',
  },
  rejected: { exitCode: 5, sentence: 'Rejected: production is as it was before.' },
  cancelled: { exitCode: 5, sentence: 'Cancelled: production is as it was before.' },
};

/** What an outcome means, and the exit code for it. */
export function endingOf(outcome: Outcome): Ending {
  return outcomes[outcome];
}

/**
 * The end of a watch, or null while there is more to come: an outcome, parked, live, or closed by Temporal itself. A run with an
 * outcome still writes its report and tells people: it has ended when Temporal has closed it.
 */
export function findEnding(view: RunView): Ending | null {
  const { status, execution, id } = view;
  const isOpen = execution === 'RUNNING' || execution === 'PAUSED';
  if (status.outcome) return isOpen ? null : endingOf(status.outcome);
  if (execution === 'CANCELLED') return endingOf('cancelled');
  if (!isOpen) {
    return {
      exitCode: 4,
      sentence: `Temporal closed ${id} as ${execution} before it had an outcome, so no way back ran. Look at the maintenance page and the database before anything else; docs/if-it-stops.md, "By hand".`,
    };
  }
  if (status.parked)
    return { exitCode: 4, sentence: `Parked: the run waits for an operator. ${status.nextAction}` };
  if (status.live && !isTakingPageDown(view)) {
    return {
      exitCode: 0,
      sentence: `Live: users may write again. Monitoring goes on without this command: kirikae status ${id}`,
    };
  }
  return null;
}

// The mark comes before the page is down: an attempt that fails would park the run a moment later.
function isTakingPageDown(view: RunView): boolean {
  return view.status.steps.some((step) => step.name === 'maintenanceOff' && step.state === 'running');
}
