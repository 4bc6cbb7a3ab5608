// Native libraries out of a wheel: whole, checked, fetched once, and a clear word where they are not to be had.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zipSync } from 'fflate';
import { beforeEach, expect, test } from 'vitest';
import { hasWheel, type Library, libraryFolder, resolveLibrary } from './library.ts';

const TAG = 'cp310-cp310-manylinux_2_28_x86_64';
const wheel = zipSync({
  'tiny/libs/libtiny.so': Buffer.from('the library'),
  'tiny.dist-info/LICENSE': Buffer.from('terms'),
});
const here = `${process.platform}-${process.arch}`;
let folder = '';

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cupel-library-'));
  mkdirSync(join(folder, 'wheels'));
  return () => rmSync(folder, { recursive: true });
});

function library(data: Uint8Array = wheel): Library {
  const sha256 = createHash('sha256').update(data).digest('hex');
  const members = ['tiny/libs/libtiny.so', 'tiny.dist-info/LICENSE'];
  return {
    name: 'tiny',
    version: '1.2',
    wheels: { [here]: { package: 'Tiny', tag: TAG, sha256, bytes: data.length, members } },
  };
}

const env = () => ({
  CUPEL_CACHE: folder,
  PIP_FIND_LINKS: join(folder, 'wheels'),
  PIP_NO_INDEX: '1',
  PIP_CONFIG_FILE: join(folder, 'none'),
});
const put = (tag: string, data: Uint8Array) => writeFileSync(join(folder, 'wheels', `tiny-1.2-77-${tag}.whl`), data);

test('takes the members of the wheel for this platform, and the next time from the cache', async () => {
  put('cp310-cp310-win_amd64', Buffer.from('another platform'));
  put(TAG, wheel);
  const found = await resolveLibrary(library(), { env: env() });
  expect(found).toBe(libraryFolder(library(), env()));
  expect(readFileSync(join(found, 'libtiny.so'), 'utf8')).toBe('the library');
  expect(readFileSync(join(found, 'LICENSE'), 'utf8')).toBe('terms');
  rmSync(join(folder, 'wheels'), { recursive: true });
  expect(await resolveLibrary(library(), { env: env() })).toBe(found);
  expect(readdirSync(found).sort()).toEqual(['LICENSE', 'libtiny.so']);
});

test('refuses a wheel that is not the one that was tested, and takes nothing from it', async () => {
  put(
    TAG,
    zipSync({ 'tiny/libs/libtiny.so': Buffer.from('something else'), 'tiny.dist-info/LICENSE': Buffer.from('terms') }),
  );
  await expect(resolveLibrary(library(), { env: env() })).rejects.toThrow(/another file than the one that was tested/);
  expect(existsSync(join(libraryFolder(library(), env()), 'libtiny.so'))).toBe(false);
});

test('says what it tried and where the files could be put by hand', async () => {
  const failure = await resolveLibrary(library(), { env: env() }).catch((error) => error);
  expect(failure.message).toMatch(
    /tiny 1\.2 could not be fetched from anywhere\n {2}- .*wheels: has no wheel of Tiny 1\.2/,
  );
  expect(failure.remedy).toContain(
    `put libtiny.so, LICENSE of the wheel Tiny-1.2 (${TAG}) into ${libraryFolder(library(), env())}`,
  );
  const found = libraryFolder(library(), env());
  for (const name of ['libtiny.so', 'LICENSE']) writeFileSync(join(found, name), 'by hand');
  expect(await resolveLibrary(library(), { env: env() })).toBe(found);
});

test('says when there is none for the platform', async () => {
  const none: Library = { ...library(), wheels: {} };
  expect(hasWheel(none)).toBe(false);
  await expect(resolveLibrary(none, { env: env() })).rejects.toThrow(
    `tiny is not known for ${process.platform} on ${process.arch}`,
  );
});
