/** What people may say to a run, ready to be typed or pasted. Pure. */
import type { Choice } from './details';

const by = 'YOUR NAME';

export function approvalChoices(id: string, fingerprint: string): Choice[] {
  const payload = { by, fingerprint };
  const options = [`--by '${by}'`, `--fingerprint ${fingerprint}`];
  return [
    {
      title: 'Approve the reset',
      name: 'approve',
      payload,
      command: lines(`kirikae approve ${id}`, ...options),
    },
    {
      title: 'Reject it, and everything so far is undone',
      name: 'reject',
      payload,
      command: lines(`kirikae reject ${id}`, ...options),
    },
  ];
}

export function confirmationChoices(id: string, check: string): Choice[] {
  const words = [`kirikae confirm ${id}`, `--by '${by}'`, `--check ${shellWord(check)}`];
  return [
    {
      title: 'The check passed',
      name: 'confirm',
      payload: { by, check, passed: true },
      command: lines(...words),
    },
    {
      title: 'The check failed, and the run goes back',
      name: 'confirm',
      payload: { by, check, passed: false },
      command: lines(...words, '--failed'),
    },
  ];
}

/** @param possible what this park takes beside `retry` and `settle` */
export function parkedChoices(id: string, possible: { standDown: boolean; rollBack: boolean }): Choice[] {
  const standDown: Choice = {
    title: 'Take the way back back: nothing is emptied yet, and the run is again where it was',
    name: 'standDown',
    payload: { by },
    command: lines(`kirikae stand-down ${id}`, `--by '${by}'`),
  };
  return [
    retry(id, 'Go on, after the repair'),
    ...(possible.standDown ? [standDown] : []),
    ...(possible.rollBack ? [rollBack(id)] : []),
    {
      title: 'End the run, and leave everything as it is',
      name: 'settle',
      payload: { by },
      command: lines(`kirikae settle ${id}`, `--by '${by}'`),
    },
  ];
}

/** While the monitoring runs; with `retry` when one of its checks fails. */
export function monitorChoices(id: string, isFailing: boolean): Choice[] {
  return isFailing ? [retry(id, 'Go on watching, after the repair'), rollBack(id)] : [rollBack(id)];
}

export function retireChoices(id: string): Choice[] {
  return [
    {
      title: 'Delete the backup (a cancel of the run keeps it)',
      name: 'retireBackup',
      payload: { by },
      command: lines(`kirikae retire-backup ${id}`, `--by '${by}'`),
    },
    rollBack(id),
  ];
}

function retry(id: string, title: string): Choice {
  return { title, name: 'retry', payload: { by }, command: lines(`kirikae retry ${id}`, `--by '${by}'`) };
}

function rollBack(id: string): Choice {
  return {
    title: 'Bring the old database back, and lose what users wrote since',
    name: 'rollBack',
    payload: { by, acceptLoss: true },
    command: lines(`kirikae roll-back ${id}`, `--by '${by}'`, '--accept-loss'),
  };
}

// Temporal's UI cuts off what is wider than half a window.
function lines(...words: string[]): string {
  return words.join(' \\\n  ');
}

/** One word for a POSIX shell, quotes and all. */
export function shellWord(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
