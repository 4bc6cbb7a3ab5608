// `cupel serve`: an OpenAI-compatible server for a GGUF model.
import { resolve } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { serve } from '../serve/serve.ts';
import { type CascadeChoices, cascadeOptions, cascadeSettings } from './cascade-options.ts';
import { integerOption } from './numbers.ts';
import { ServedAccount } from './served-account.ts';
import { stopped } from './stopped.ts';
import { refuseAdapter, requireProof } from './verify.ts';

interface ServeChoices {
  port: number;
  host: string;
  threads?: number;
  context?: number;
  parallel?: number;
  queue?: number;
  adapter: Adapter[];
  exactNames?: boolean;
  unproven?: boolean;
}

interface Adapter {
  name: string;
  path: string;
}

type Choices = ServeChoices & CascadeChoices;

export function register(program: Command): void {
  const command = program
    .command('serve')
    .description('serve GGUF models over the OpenAI API (chat completions, completions, embeddings, models, tokenize)')
    .argument('<models...>', 'GGUF files; each answers by its file name')
    .option('-p, --port <n>', 'port; 0 takes a free one', integerOption(0, 65535), 8080)
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--threads <n>', 'threads that compute; all cores without it', integerOption(1))
    .option('--context <tokens>', 'context of each request', integerOption(128))
    .option('--parallel <n>', 'requests decoded at once', integerOption(1, 256))
    .option('--queue <n>', 'requests that may wait before others are told to come back (429)', integerOption(0), 256)
    .option(
      '--adapter <name=path>',
      'LoRA adapter (PEFT folder or GGUF) of the first model that answers by this name; may be repeated',
      adapterOption,
      [],
    )
    .option(
      '--exact-names',
      'with one model: refuse other names with 404; without it the model answers whatever name is asked for',
    )
    .option(
      '--unproven',
      'serve models that have no valid proof for their very files, and adapters, which never have one',
    )
    .addHelpText(
      'after',
      [
        '',
        'Examples:',
        '  cupel serve student-q8_0.gguf --teacher https://api.openai.com/v1 --teacher-model gpt-4o --teacher-budget 2',
        '  cupel serve student-q8_0.gguf other.gguf --unproven --adapter refunds=.cupel/artifacts/distill-0123456789abcdef/adapter',
        '',
        '  cupel serve student-q8_0.gguf --port 8080',
        '  curl http://127.0.0.1:8080/v1/chat/completions -H "content-type: application/json" \\',
        '    -d \'{"model": "student-q8_0", "messages": [{"role": "user", "content": "where is my order?"}]}\'',
        '',
        'With CUPEL_ADMIN_KEY set, its holder loads and drops models and adapters while the server runs:',
        '  curl -X POST http://127.0.0.1:8080/admin/adapters -H "authorization: Bearer $CUPEL_ADMIN_KEY" \\',
        '    -d \'{"id": "refunds", "path": "/models/refunds-adapter"}\'',
        '  curl -X DELETE http://127.0.0.1:8080/admin/adapters/refunds -H "authorization: Bearer $CUPEL_ADMIN_KEY"',
      ].join('\n'),
    );
  cascadeOptions(command).action(async (files: string[], options: Choices) => {
    const [model, ...others] = files.map((file) => resolve(file));
    const cascade = options.teacher ? await cascadeSettings(model, options) : undefined;
    // the teacher keeps the quality where the student alone does not: what was checked is the two together
    const alone = cascade?.checked ? others : [model, ...others];
    if (!options.unproven) for (const each of alone) await requireProof(each);
    if (!options.unproven) for (const { path } of options.adapter) refuseAdapter(path);
    const account = cascade && new ServedAccount(model);
    const server = await serve({
      cascade: cascade && { ...cascade.settings, account },
      model,
      models: others.map((path) => ({ path })),
      adapters: options.adapter,
      admit: options.unproven ? undefined : admitProven,
      host: options.host,
      port: options.port,
      threads: options.threads,
      contextTokens: options.context,
      parallel: options.parallel,
      queue: options.queue,
      exactNames: options.exactNames,
    });
    process.stderr.write(`listening on ${server.url}, model ${server.model}\n`);
    await stopped();
    process.stderr.write('stopping: finishing what is in flight\n');
    await server.close();
    account?.close();
  });
}

/** What is loaded later needs what was needed at the start. */
async function admitProven(kind: 'model' | 'adapter', path: string): Promise<void> {
  if (kind === 'adapter') refuseAdapter(path);
  await requireProof(path);
}

function adapterOption(text: string, known: Adapter[]): Adapter[] {
  const at = text.indexOf('=');
  if (at < 1 || at === text.length - 1) throw new InvalidArgumentError('write it as name=path.');
  return [...known, { name: text.slice(0, at), path: resolve(text.slice(at + 1)) }];
}
