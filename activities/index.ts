/** All activities of a worker, made for its settings. */
import type { Settings } from '../src/settings/read';
import { backUpActivities } from './back-up';
import { closeActivities } from './close';
import { copyRowsActivities } from './copy-rows';
import { openActivities } from './open';
import { peopleActivities } from './people';
import { planActivities } from './plan';
import { prepareActivities } from './prepare';
import { switchOverActivities } from './switch-over';
import { wayBackActivities } from './way-back';

export type { Moved, RunRef } from './context';
export type { GroupPlan } from './copy-rows';
export type { PlanOutline } from './plan';
export type { RestorePlan } from '../src/way-back/restore';
export type { Stock } from '../src/way-back/stock';

export type Activities = ReturnType<typeof createActivities>;

/** Needs the host that holds the maintenance flag and deploy rights. */
type OnHost =
  | 'checkHost'
  | 'deployToShadow'
  | 'pageOn'
  | 'watchPage'
  | 'pageOff'
  | 'probePage'
  | 'deploySchema'
  | 'deploy'
  | 'undoDeploy';

/** What the plan's host queue serves; a check may run there too. */
export type HostActivities = Pick<Activities, OnHost | 'smoke' | 'rollbackSmoke' | 'watchCheck'>;

/** What the queue for copying serves. */
export type CopyActivities = Pick<Activities, 'copyGroup'>;

/** What any worker serves: databases, checks by HTTP and SQL, messages. */
export type DatabaseActivities = Omit<Activities, OnHost | 'copyGroup'>;

export function createActivities(settings: Settings) {
  return {
    ...planActivities(settings),
    ...prepareActivities(settings),
    ...closeActivities(settings),
    ...backUpActivities(settings),
    ...copyRowsActivities(settings),
    ...switchOverActivities(settings),
    ...openActivities(settings),
    ...wayBackActivities(settings),
    ...peopleActivities(settings),
  };
}
