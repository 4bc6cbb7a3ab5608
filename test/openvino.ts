// OpenVINO's libraries for the tests, where there are any for this platform and a package index has them.
import { hasWheel, OPENVINO, resolveLibrary } from '../src/catalog/library.ts';

async function find(): Promise<string | undefined> {
  if (!hasWheel(OPENVINO)) return undefined;
  try {
    return await resolveLibrary(OPENVINO);
  } catch (error) {
    console.warn(`SKIPPED: tests of OpenVINO, ${(error as Error).message}`);
    return undefined;
  }
}

/** Their folder. */
export const openvinoFolder: string | undefined = await find();
