// The command line: one file per command, registered here; errors become one clear message and an exit code.
import { Command } from 'commander';
import { describeError } from '../base/errors.ts';
import { VERSION } from '../base/version.ts';
import { register as registerBench } from './bench.ts';
import { register as registerCompress } from './compress.ts';
import { register as registerCurate } from './curate.ts';
import { register as registerDemo } from './demo.ts';
import { register as registerDistill } from './distill.ts';
import { register as registerDoctor } from './doctor.ts';
import { register as registerEvaluate } from './evaluate.ts';
import { exitCodeOf } from './exit.ts';
import { register as registerExport } from './export.ts';
import { register as registerForget } from './forget.ts';
import { register as registerGate } from './gate.ts';
import { register as registerImport } from './import.ts';
import { register as registerKeys } from './keys.ts';
import { register as registerModels } from './models.ts';
import { register as registerPlan } from './plan.ts';
import { register as registerPower } from './power.ts';
import { register as registerRecord } from './record.ts';
import { register as registerReport } from './report.ts';
import { register as registerRun } from './run.ts';
import { register as registerServe } from './serve.ts';
import { register as registerVerify } from './verify.ts';

// the reader has left, as `head` does: there is nobody to tell
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit();
  throw error;
});

const program = new Command('cupel')
  .description(
    "Gives a frontier model's narrow job to a small model that you own, on one commodity machine, and proves that it may.\n" +
      'Stages: import -> distill -> compress -> evaluate -> report; `run` does them all.',
  )
  .version(VERSION)
  .showHelpAfterError('(`cupel COMMAND --help` shows the options and an example)')
  .addHelpText(
    'after',
    '\nExit codes: 0 done (whatever the verdict), 1 failed, 2 bad input or options, 3 not proven (gate, verify, serve, --require-proof), 130 interrupted.',
  )
  .exitOverride();

for (const register of [
  registerRun,
  registerDemo,
  registerRecord,
  registerKeys,
  registerExport,
  registerForget,
  registerCurate,
  registerImport,
  registerDistill,
  registerCompress,
  registerEvaluate,
  registerBench,
  registerPower,
  registerGate,
  registerVerify,
  registerServe,
  registerReport,
  registerModels,
  registerPlan,
  registerDoctor,
]) {
  register(program);
}
for (const command of program.commands) command.exitOverride();

try {
  await program.parseAsync();
} catch (error) {
  const code = exitCodeOf(error);
  const quiet = (error as { code?: string }).code?.startsWith('commander.');
  if (!quiet) process.stderr.write(`cupel: ${describeError(error)}\n`);
  if (process.env.CUPEL_DEBUG && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  process.exitCode = code;
}
