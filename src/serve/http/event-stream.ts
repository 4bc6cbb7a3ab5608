// Server-sent events: a producer writes JSON chunks, the reader's leaving aborts it.
import { toApiError } from './errors.ts';

const HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache',
  // proxies such as nginx would hold the chunks back
  'x-accel-buffering': 'no',
};

/**
 * Resolves when the first chunk is there, so that a request refused before is answered with a status of its own;
 * what goes wrong later is sent as an event.
 * @param produce sends chunks until it returns
 * @param abort called when the reader hangs up
 * @throws what `produce` throws before its first chunk
 */
export function eventStream(
  produce: (send: (chunk: object) => void) => Promise<void>,
  abort: () => void,
): Promise<Response> {
  const encoder = new TextEncoder();
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  const body = new ReadableStream<Uint8Array>({
    start: (its) => {
      controller = its;
    },
    cancel: () => {
      controller = undefined;
      abort();
    },
  });
  const write = (data: string) => controller?.enqueue(encoder.encode(`data: ${data}\n\n`));
  return new Promise((resolve, reject) => {
    let begun = false;
    const begin = () => {
      if (!begun) resolve(new Response(body, { headers: HEADERS }));
      begun = true;
    };
    const send = (chunk: object) => {
      write(JSON.stringify(chunk));
      begin();
    };
    produce(send)
      .catch((error) => {
        if (!begun) throw error;
        write(JSON.stringify(toApiError(error).body()));
      })
      .then(() => {
        begin();
        write('[DONE]');
        controller?.close();
      })
      .catch(reject);
  });
}
