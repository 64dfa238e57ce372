/** A proxy that cuts connections for real, and what a promise that meets one is rejected with. */
import { startSoakProxy, type Watch } from '../../lab/soak/proxy';
import { failureType } from '../../src/errors';
import { testPostgres } from './environment';

/** The type of what a promise is rejected with. */
export async function endOf(work: Promise<unknown>): Promise<string> {
  return work.then(() => 'no failure', failureType);
}

export interface Proxied {
  to: (url: string) => string;
  cut: () => Promise<void>;
}

export async function openProxy(watch: Watch = () => 'pass'): Promise<Proxied> {
  const proxy = await startSoakProxy(testPostgres().port, watch);
  return {
    to: (url) => Object.assign(new URL(url), { port: String(proxy.port) }).toString(),
    cut: proxy.close,
  };
}
