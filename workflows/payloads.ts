/** How the workflow reads payloads: one that can't be decoded becomes a value that every schema refuses, and no task fails for it. */
import { defaultPayloadConverter, type Payload, type PayloadConverter } from '@temporalio/common';
import { oneLine } from '../src/text';

/** What stands for a payload that can't be decoded: an input, a message, a memo. */
export class Undecodable {
  /** @param why with what was expected */
  constructor(readonly why: string) {}
}

/** Named in the options of the bundle (`payloadConverterPath`). What activities send is ours: there a failure stays one. */
export const payloadConverter: PayloadConverter = {
  toPayload: (value, context, hint) => defaultPayloadConverter.toPayload(value, context, hint),
  fromPayload<T>(...args: Parameters<typeof defaultPayloadConverter.fromPayload<T>>): T {
    const [payload, context] = args;
    try {
      return defaultPayloadConverter.fromPayload<T>(...args);
    } catch (error) {
      if (context?.type === 'activity') throw error;
      return new Undecodable(
        `it is encoded as ${encodingOf(payload)} and can't be decoded: expected JSON (json/plain)`,
      ) as T;
    }
  },
};

function encodingOf({ metadata }: Payload): string {
  const encoding = metadata?.encoding;
  return encoding
    ? `"${oneLine(String.fromCharCode(...encoding.slice(0, 50)), 50)}"`
    : 'nothing that is named';
}
