/** What may happen to a run of the model, as values that fast-check makes and shrinks. */
import fc from 'fast-check';
import { COMMANDS, FORWARD, type CommandName, type Phase } from '../../../src/contract';
import type { ErrorType, How } from './activity-worker';

export const payloadKinds = ['right', 'wrong', 'stale', 'nonsense', 'two'] as const;

export type Event =
  /** All goes well, and people say what is asked for, until the ledger is there or nothing goes on by itself. */
  | { kind: 'go'; to: Phase | 'approval' | 'monitor' | 'retireBackup' }
  | { kind: 'run'; steps: number }
  /** One of the activities that are under way, counted from the oldest. */
  | { kind: 'step'; which: number; how: How }
  /** What comes next reaches the run in one task with what follows it. */
  | { kind: 'together' }
  | { kind: 'pass'; seconds: number }
  | {
      kind: 'say';
      name: CommandName;
      payload: (typeof payloadKinds)[number];
      who: string;
      by: 'update' | 'signal';
    }
  | { kind: 'reset'; place: number }
  | { kind: 'longFails'; name: 'watchPage' | 'holdBackup'; type: ErrorType }
  | { kind: 'monitoringEnds'; how: 'terminated' | 'cancelled' }
  | { kind: (typeof happenings)[number] };

/** What happens in the world, whatever the run does. */
export const happenings = [
  'cancel',
  'pageLost',
  'serverCrashed',
  'usersWrite',
  'backupChanged',
  'backupDropped',
  'mirrorLost',
  'ledgerDropped',
  'overtaken',
  'anotherWorker',
  'formerActs',
] as const;

export interface Case {
  plan: {
    minimum: number;
    requesterMayApprove: boolean;
    manualCheck: boolean;
    retireAfterApproval: boolean;
    lanes: number;
  };
  events: Event[];
  /** A worker that knows nothing of the run replays it when it has closed. */
  isReplayed: boolean;
}

const persons = ['bob', 'carol', 'alice', ' ALICE '];
const errorTypes = ['StepFailed', 'Outage', 'NeedsOperator', 'DataDiffer', 'Overtaken'] as const;

const failing = fc.record({
  fails: fc.constantFrom(...errorTypes),
  when: fc.constantFrom('before' as const, 'after' as const),
});
const how: fc.Arbitrary<How> = fc.oneof(
  { weight: 3, arbitrary: failing },
  { weight: 2, arbitrary: fc.constantFrom('done' as const, 'act' as const, 'despite' as const) },
);
const seconds = fc.constantFrom(1, 11, 40, 400, 8_000);

// What goes wrong is worth most where something has been reached first.
const event: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('go' as const),
      to: fc.constantFrom(
        ...FORWARD,
        'approval' as const,
        'monitor' as const,
        'retireBackup' as const,
        'emptied',
        'restored',
        'home',
      ),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('run' as const), steps: fc.integer({ min: 1, max: 9 }) }),
  },
  { weight: 7, arbitrary: fc.record({ kind: fc.constant('step' as const), which: fc.nat(2), how }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('together' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('pass' as const), seconds }) },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('say' as const),
      name: fc.constantFrom(...COMMANDS),
      payload: fc.oneof(
        { weight: 5, arbitrary: fc.constant('right' as const) },
        fc.constantFrom(...payloadKinds),
      ),
      who: fc.constantFrom(...persons),
      by: fc.constantFrom('update' as const, 'signal' as const),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('reset' as const),
      place: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('longFails' as const),
      name: fc.constantFrom('watchPage' as const, 'holdBackup' as const),
      type: fc.constantFrom(...errorTypes),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('monitoringEnds' as const),
      how: fc.constantFrom('terminated' as const, 'cancelled' as const),
    }),
  },
  { weight: 8, arbitrary: fc.record({ kind: fc.constantFrom(...happenings) }) },
);

export const cases: fc.Arbitrary<Case> = fc.record({
  plan: fc.record({
    minimum: fc.constantFrom(1, 2),
    requesterMayApprove: fc.boolean(),
    manualCheck: fc.boolean(),
    retireAfterApproval: fc.boolean(),
    lanes: fc.constantFrom(1, 2),
  }),
  events: fc.array(event, { minLength: 2, maxLength: 16 }),
  isReplayed: fc.constantFrom(false, false, false, true),
});
