/**
 * The answer to work that tells what it finds while it goes on: one JSON object a line. What fails before the first line
 * has its own status; later an `error` is the last line. It ends with the client: nobody waits for its result.
 */
import { BackupError } from '../words/errors.ts';
import { statusOf, toText } from './answers.ts';
import { serialize } from './serialize.ts';

/** @param work tells lines, and answers the last one. */
export async function lineStream(
  work: (tell: (line: object) => void, signal: AbortSignal) => Promise<object>,
  { pingMs, onError }: { readonly pingMs: number; readonly onError: (error: unknown) => void },
): Promise<Response> {
  const abort = new AbortController();
  const text = new TextEncoder();
  const waiting: string[] = [];
  let put = (line: string): void => void waiting.push(line);
  let begin = (): void => {};
  const begun = new Promise<void>((resolve) => {
    begin = resolve;
  });
  const tell = (line: object): void => {
    put(`${toText(serialize(line))}\n`);
    begin();
  };
  const ended = work(tell, abort.signal).then(tell);
  const timer = setTimeout(begin, pingMs);
  try {
    await Promise.race([begun, ended]);
  } finally {
    clearTimeout(timer);
  }

  let pings: ReturnType<typeof setInterval> | undefined;
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    start(controller) {
      put = (line) => controller.enqueue(text.encode(line));
      for (const line of waiting.splice(0)) put(line);
      pings = setInterval(() => put('\n'), pingMs);
      void ended
        .catch((error: unknown) => {
          if (statusOf(BackupError.from(error).code) >= 500) onError(error);
          tell({ error: BackupError.from(error).toJSON() });
        })
        .then(() => {
          clearInterval(pings);
          if (!abort.signal.aborted) controller.close();
        });
    },
    cancel() {
      clearInterval(pings);
      put = () => {};
      abort.abort();
    },
  });
  return new Response(body, {
    headers: {
      'content-type': 'application/x-ndjson; charset=utf-8',
      // A proxy or a framework that compresses would hold the lines back.
      'cache-control': 'no-store, no-transform',
      'x-accel-buffering': 'no',
    },
  });
}
