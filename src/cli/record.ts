// `cupel record`: the gateway between an application and the model it pays for; what passes is recorded.
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { type Command, InvalidArgumentError } from 'commander';
import { z } from 'zod';
import { CupelError } from '../base/errors.ts';
import { startGateway } from '../record/gateway/gateway.ts';
import { makeLog } from '../record/gateway/log.ts';
import type { Access } from '../record/gateway/service.ts';
import { tracingFrom } from '../record/gateway/tracing.ts';
import { type Price, priceFrom, readPrices } from '../record/price.ts';
import type { UpstreamOptions } from '../record/proxy/upstream.ts';
import type { CustomPattern } from '../record/redact/redactor.ts';
import { priceOf } from '../report/prices.ts';
import { integerOption, numberOption } from './numbers.ts';
import { stopped } from './stopped.ts';

interface RecordChoices {
  upstream: string[];
  workspace: string;
  host: string;
  port: number;
  adminHost: string;
  adminPort: number;
  access: Access;
  durability: 'process' | 'disk';
  retainDays?: number;
  prices?: string;
  redact?: string;
  retries: number;
  firstByte: number;
  idle: number;
  maxRequestMb: number;
  logLevel: string;
}

function oneOf<T extends string>(...allowed: T[]): (text: string) => T {
  return (text) => {
    if ((allowed as string[]).includes(text)) return text as T;
    throw new InvalidArgumentError(`one of ${allowed.join(', ')} is needed.`);
  };
}
const access = oneOf<Access>('keys', 'keys-once-made', 'open');
const durability = oneOf('process', 'disk');

export function register(program: Command): void {
  program
    .command('record')
    .description('pass OpenAI-compatible traffic on to a model and record it, redacted, for training')
    .requiredOption(
      '-u, --upstream <spec...>',
      'base URL, e.g. https://api.openai.com/v1; further ones take over when it fails. After a comma: key=ENV_NAME, header=NAME of its header, model=NAME, name=NAME',
    )
    .option('-w, --workspace <dir>', 'folder for everything Cupel makes', '.cupel')
    .option('--host <address>', 'address for applications', '127.0.0.1')
    .option('-p, --port <n>', 'port for applications; 0 takes a free one', integerOption(0, 65535), 8787)
    .option('--admin-host <address>', 'address for administration and metrics', '127.0.0.1')
    .option('--admin-port <n>', 'port for administration and metrics', integerOption(0, 65535), 8788)
    .option(
      '--access <rule>',
      'keys: callers need a key; keys-once-made: as soon as one exists; open',
      access,
      'keys-once-made',
    )
    .option(
      '--durability <what>',
      'an answer waits until it is with the operating system (process) or synced (disk)',
      durability,
      'process',
    )
    .option('--retain-days <n>', 'older exchanges are removed', numberOption(0.001))
    .option(
      '--prices <file>',
      'JSON: {"model": {"input": 2.5, "output": 10, "cached": 1.25}}, dollars per million tokens',
    )
    .option('--redact <file>', 'JSON: [{"name": "employee", "pattern": "E-\\\\d{6}"}], further patterns to redact')
    .option('--retries <n>', 'further tries at the same upstream', integerOption(0, 10), 2)
    .option('--first-byte <seconds>', 'longest wait for an answer to begin', numberOption(0.1), 600)
    .option('--idle <seconds>', 'longest silence within an answer', numberOption(0.1), 300)
    .option('--max-request-mb <n>', 'largest request', numberOption(0.001), 20)
    .option('--log-level <level>', 'trace, debug, info, warn, error or silent', 'info')
    .addHelpText(
      'after',
      '\nKeys come from the environment: OPENAI_API_KEY, DEEPSEEK_API_KEY, DASHSCOPE_API_KEY, AZURE_OPENAI_API_KEY by host, or key=ENV_NAME.' +
        "\nWithout one, the caller's own Authorization or api-key is passed on. DATABASE_URL names a PostgreSQL instead of the embedded database;" +
        '\nCUPEL_ADMIN_TOKEN and CUPEL_REDACTION_KEY replace those kept in the workspace; OTEL_EXPORTER_OTLP_ENDPOINT turns traces on.' +
        '\n\nExample:\n  cupel record --upstream https://api.openai.com/v1 --upstream https://api.deepseek.com/v1,model=deepseek-chat' +
        '\n  # then give your application the base URL http://127.0.0.1:8787/v1',
    )
    .action(run);
}

/** Percent by which the heap may outgrow what was alive in it: some 25 MB, so that it stays below 100. */
const HEAP_GROWTH = 300;

async function run(choices: RecordChoices): Promise<void> {
  // what is recorded is for the owner of the workspace only
  process.umask(0o077);
  // collecting all of a small heap every four seconds kept one answer in a hundred waiting
  setFlagsFromString(`--heap-growing-percent=${HEAP_GROWTH}`);
  const log = makeLog(choices.logLevel);
  const gateway = await startGateway({
    workspace: resolve(choices.workspace),
    databaseUrl: process.env.DATABASE_URL || undefined,
    upstreams: choices.upstream.map((spec) => upstreamOf(spec, process.env)),
    host: choices.host,
    port: choices.port,
    adminHost: choices.adminHost,
    adminPort: choices.adminPort,
    adminToken: process.env.CUPEL_ADMIN_TOKEN || undefined,
    access: choices.access,
    durability: choices.durability,
    retainDays: choices.retainDays,
    redaction: { key: process.env.CUPEL_REDACTION_KEY || undefined, custom: customPatterns(choices.redact) },
    policy: { retries: choices.retries, firstByteMs: choices.firstByte * 1000, idleMs: choices.idle * 1000 },
    maxRequestBytes: Math.round(choices.maxRequestMb * 1e6),
    price: priceBy(choices.prices),
    tracing: tracingFrom(process.env),
    log,
  });
  log.info({ url: gateway.url, admin: gateway.adminUrl }, 'recording');
  await stopped();
  log.info('stopping: finishing what is in flight');
  await gateway.close();
}

/** Keys that the environment holds for well-known hosts. */
const KEY_BY_HOST: [RegExp, string][] = [
  [/(^|\.)openai\.com$/, 'OPENAI_API_KEY'],
  [/\.(azure\.(com|us|cn)|azure-api\.(net|us|cn))$/, 'AZURE_OPENAI_API_KEY'],
  [/(^|\.)deepseek\.com$/, 'DEEPSEEK_API_KEY'],
  [/^dashscope.*\.aliyuncs\.com$/, 'DASHSCOPE_API_KEY'],
];

/** `URL[,key=ENV_NAME][,header=NAME][,model=NAME][,name=NAME]`. @throws CupelError (exit code 2) */
export function upstreamOf(spec: string, env: NodeJS.ProcessEnv): UpstreamOptions {
  const [url, ...pairs] = spec.split(',');
  const options = new Map(pairs.map((pair) => pair.split(/=(.*)/s, 2) as [string, string]));
  for (const [name, value] of options) {
    if (['key', 'header', 'model', 'name'].includes(name) && value) continue;
    throw new CupelError(`not understood: "${name}=${value ?? ''}"`, {
      place: { field: '--upstream' },
      remedy: 'write URL,key=ENV_NAME,header=NAME,model=NAME,name=NAME',
      exitCode: 2,
    });
  }
  const named = options.get('key');
  if (named !== undefined && !env[named]) {
    throw new CupelError(`the environment has no ${named}`, {
      place: { field: '--upstream' },
      remedy: `export ${named}=… before the start; keys do not belong on the command line`,
      exitCode: 2,
    });
  }
  const host = URL.canParse(url) ? new URL(url).hostname : '';
  const key = env[named ?? KEY_BY_HOST.find(([pattern]) => pattern.test(host))?.[1] ?? ''];
  const header = options.get('header');
  if (header !== undefined && !/^[\w-]+$/.test(header)) {
    throw new CupelError(`not the name of a header: "${header}"`, {
      place: { field: '--upstream' },
      remedy: 'write for example header=api-key',
      exitCode: 2,
    });
  }
  return { url, key, header, model: options.get('model'), name: options.get('name') };
}

/** The user's own prices first, then the list prices that the report knows. */
function priceBy(file: string | undefined): Price {
  const own = file === undefined ? () => null : readPrices(resolve(file));
  // callers may name models as they like: only so many are remembered
  const found = new Map<string, Price>();
  const listed = (model: string): Price => {
    const known = found.get(model);
    if (known) return known;
    const { assumed, ...price } = priceOf(model);
    const made: Price = assumed ? () => null : priceFrom({ [model]: price });
    if (found.size < 1000) found.set(model, made);
    return made;
  };
  return (model, tokens) => own(model, tokens) ?? (model === null ? null : listed(model)(model, tokens));
}

function customPatterns(file: string | undefined): CustomPattern[] | undefined {
  if (file === undefined) return undefined;
  try {
    return z
      .array(z.strictObject({ name: z.string().regex(/^\w+$/), pattern: z.string() }))
      .parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch (cause) {
    throw new CupelError('the patterns cannot be read', {
      place: { file },
      remedy: 'write a JSON list of {"name": "employee", "pattern": "E-\\\\d{6}"}',
      exitCode: 2,
      cause,
    });
  }
}
