// What calls of native libraries share: a wide stack, calls beside JavaScript, C strings.
import koffi, { type KoffiFunc } from 'koffi';

/** Runtimes use the stack they are called on, and koffi's own for asynchronous calls is small. */
const STACK_BYTES = 8 * 2 ** 20;

/** To be called before a library is loaded: afterwards koffi takes no more settings. */
export function widenStack(): void {
  if (koffi.config().async_stack_size !== STACK_BYTES)
    koffi.config({ ...koffi.config(), async_stack_size: STACK_BYTES });
}

/** Calls on a thread of koffi's; rejects with what `check` throws for the status. */
export function callAsync<S>(
  call: KoffiFunc<(...args: unknown[]) => S>,
  args: readonly unknown[],
  check: (status: S) => void,
): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    call.async(...args, (error: Error | null, status: S) => {
      try {
        if (error) throw error;
        resolve(check(status));
      } catch (wrong) {
        reject(wrong);
      }
    });
  });
}

/** C strings and the addresses of them. */
export interface CStrings {
  readonly addresses: BigUint64Array;
  /** Keeps the strings from being collected. */
  readonly strings: readonly Buffer[];
}

export function cStrings(list: readonly string[]): CStrings {
  const strings = list.map((text) => Buffer.from(`${text}\0`));
  return { strings, addresses: BigUint64Array.from(strings, (string) => koffi.address(string)) };
}
