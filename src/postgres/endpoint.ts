/** What a piece of work on databases is given: the databases, and how to work. */
import type { Client } from 'pg';
import type { Plan } from '../settings/read';

export type DatabaseRole = 'production' | 'backup' | 'shadow';

/** A database that sessions are opened to. */
export interface Place {
  /** What messages call it: "production", "the backup". */
  title: string;
  url: string;
}

/** A database with an open session. */
export interface Endpoint extends Place {
  client: Client;
}

/** A plan's databases, as its environment variables name them. */
export function placesOf({ databases }: Plan): Record<DatabaseRole, Place> {
  const url = (role: DatabaseRole) => process.env[databases[role].urlEnv] ?? '';
  return {
    production: { title: 'production', url: url('production') },
    backup: { title: 'the backup', url: url('backup') },
    shadow: { title: 'the shadow', url: url('shadow') },
  };
}

/** Production and its backup. */
export interface Pair<T extends Place = Endpoint> {
  production: T;
  backup: T;
}

/** Called in a transaction of production's as its last statement before the commit: throws when this run may no longer write. */
export type MayWrite = (client: Client) => Promise<void>;

/** Writes what the caller notes in the transaction of what it is about, e.g. a phase of the ledger. */
export type Note = (client: Client) => Promise<void>;

/** How to work. */
export interface Work {
  /** Who works, in application_name; the same for every attempt. */
  label: string;
  /** Sessions at a time. */
  lanes: number;
  /** An abort cuts the sessions in the middle of what they do. */
  signal: AbortSignal;
  /** Called with rows and bytes as they come, where somebody counts them. */
  onProgress?: (rows: number, bytes: number) => void;
}
