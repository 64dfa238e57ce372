/** The workflows of a worker's bundle. */
export { monitorProduction } from './monitor';
export { offlineMigration } from './offline-migration';
