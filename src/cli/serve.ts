// `cupel serve`: an OpenAI-compatible server for a GGUF model.
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { serve } from '../serve/serve.ts';
import { type CascadeChoices, cascadeOptions, cascadeSettings } from './cascade-options.ts';
import { integerOption } from './numbers.ts';
import { requireProof } from './verify.ts';

interface ServeChoices {
  port: number;
  host: string;
  threads?: number;
  context?: number;
  parallel?: number;
  unproven?: boolean;
}

type Choices = ServeChoices & CascadeChoices;

export function register(program: Command): void {
  const command = program
    .command('serve')
    .description('serve a GGUF model over the OpenAI API (chat completions, completions, models)')
    .argument('<model>', 'GGUF file')
    .option('-p, --port <n>', 'port; 0 takes a free one', integerOption(0, 65535), 8080)
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--threads <n>', 'threads that compute; all cores without it', integerOption(1))
    .option('--context <tokens>', 'context of each request', integerOption(128))
    .option('--parallel <n>', 'requests decoded at once', integerOption(1, 256))
    .option('--unproven', 'serve a model that has no valid proof for this very file')
    .addHelpText(
      'after',
      '\nExamples:\n  cupel serve student-q8_0.gguf --teacher https://api.openai.com/v1 --teacher-model gpt-4o --teacher-budget 2\n\n  cupel serve student-q8_0.gguf --port 8080\n  curl http://127.0.0.1:8080/v1/chat/completions -H "content-type: application/json" \\\n    -d \'{"model": "student-q8_0", "messages": [{"role": "user", "content": "where is my order?"}]}\'',
    );
  cascadeOptions(command).action(async (model: string, options: Choices) => {
    const cascade = options.teacher ? await cascadeSettings(resolve(model), options) : undefined;
    // the teacher keeps the quality where the student alone does not: what was checked is the two together
    if (!options.unproven && !cascade?.checked) await requireProof(resolve(model));
    const server = await serve({
      cascade: cascade?.settings,
      model: resolve(model),
      host: options.host,
      port: options.port,
      threads: options.threads,
      contextTokens: options.context,
      parallel: options.parallel,
    });
    process.stderr.write(`listening on ${server.url}, model ${server.model}\n`);
    await stopped();
    process.stderr.write('stopping: finishing what is in flight\n');
    await server.close();
  });
}

/** Resolves on the first SIGTERM or SIGINT; the second ends the process at once. */
function stopped(): Promise<void> {
  return new Promise((done) => {
    let asked = false;
    const stop = () => {
      if (asked) process.exit(130);
      asked = true;
      done();
    };
    process.on('SIGTERM', stop);
    process.on('SIGINT', stop);
  });
}
