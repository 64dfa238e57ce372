/** All activities of a worker, made for its settings. */
import type { Settings } from '../src/settings/read';
import { copyActivities } from './copy';
import { hostActivities } from './host';
import { planActivities } from './plan';
import { preflightActivities } from './preflight';
import { productionActivities } from './production';
import { reportActivities } from './report';

export type { RunRef } from './context';
export type { PlanOutline } from './plan';
export type Activities = ReturnType<typeof createActivities>;

export function createActivities(settings: Settings) {
  return {
    ...planActivities(settings),
    ...preflightActivities(settings),
    ...productionActivities(settings),
    ...copyActivities(settings),
    ...hostActivities(settings),
    ...reportActivities(settings),
  };
}
