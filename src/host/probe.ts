/** Asking an address from outside: once, or until it shows what is expected. */
import { setTimeout as wait } from 'node:timers/promises';
import { sentence, KirikaeError } from '../errors';
import type { Plan } from '../settings/read';
import { milliseconds } from '../settings/schema';

/** Repeats `attempt` until it returns null or the time is over; the last complaint is returned. */
export async function repeatUntil(
  limitMs: number,
  signal: AbortSignal | undefined,
  attempt: () => Promise<string | null>,
): Promise<string | null> {
  const deadline = Date.now() + limitMs;
  for (;;) {
    signal?.throwIfAborted();
    const complaint = await attempt();
    if (complaint === null || Date.now() >= deadline) return complaint;
    await wait(Math.min(250, Math.max(1, deadline - Date.now())), undefined, { signal });
  }
}

const keptCharacters = 100_000;

/** One GET, of whose body the beginning is read. A connection that fails is an answer too: status 0 and why. Redirects are shown, not followed. */
export async function get(
  url: string,
  signal?: AbortSignal,
): Promise<{ status: number; text: string; body: string }> {
  try {
    const limit = AbortSignal.timeout(10_000);
    const response = await fetch(url, {
      redirect: 'manual',
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
    });
    return {
      status: response.status,
      text: String(response.status),
      body: await beginningOf(response),
    };
  } catch (error) {
    signal?.throwIfAborted();
    const cause = (error as { cause?: unknown }).cause;
    return { status: 0, text: `no answer (${sentence(cause ?? error)})`, body: '' };
  }
}

// A page that never ends, or fills the memory, must not be read to its end.
async function beginningOf(response: Response): Promise<string> {
  let text = '';
  const decoder = new TextDecoder();
  // Leaving the loop ends the connection.
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length >= keptCharacters) break;
  }
  return text.slice(0, keptCharacters);
}

/** Asks the page's address until it shows what is expected. @throws KirikaeError with the last answer */
export async function probeMaintenance(plan: Plan, page: 'on' | 'off', signal?: AbortSignal): Promise<void> {
  const { probe } = plan.maintenance;
  const expected = probe[page];
  const last = await repeatUntil(milliseconds(probe.within), signal, async () => {
    const answer = await get(probe.url, signal);
    return answer.status === expected ? null : answer.text;
  });
  if (last !== null) {
    throw new KirikaeError(
      'StepFailed',
      `The maintenance probe ${probe.url} should show ${expected} (page ${page}) but shows ${last} after ${probe.within}. Look at the proxy that serves the page.`,
    );
  }
}
