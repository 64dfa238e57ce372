/** A Temporal namespace of a suite's own, so that suites beside each other don't share a queue. */
import { openNamespaceAt, type Namespace } from '../../lab/namespace';
import { testTemporal } from './environment';

export type TestNamespace = Namespace;

/** Makes the namespace and a client for it. */
export function openNamespace(name: string): Promise<TestNamespace> {
  return openNamespaceAt(testTemporal().address, name);
}
