// OpenVINO's libraries for the tests, where there are any for this platform.
import { hasWheel, OPENVINO, resolveLibrary } from '../src/catalog/library.ts';

/** Their folder; undefined on other platforms. */
export const openvinoFolder: string | undefined = hasWheel(OPENVINO) ? await resolveLibrary(OPENVINO) : undefined;
