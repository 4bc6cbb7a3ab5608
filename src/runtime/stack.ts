// The stack of native calls that go on beside JavaScript.
import koffi from 'koffi';

/** Runtimes use the stack they are called on, and koffi's own for asynchronous calls is small. */
const STACK_BYTES = 8 * 2 ** 20;

/** To be called before a library is loaded: afterwards koffi takes no more settings. */
export function widenStack(): void {
  if (koffi.config().async_stack_size !== STACK_BYTES)
    koffi.config({ ...koffi.config(), async_stack_size: STACK_BYTES });
}
