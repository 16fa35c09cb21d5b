// balena-stage2: runs the second half of the plan in the initramfs. Exit 0 asks for a reboot; anything else is a failure,
// which the init script answers with a reboot into the old system before the point of no return, and by starting this
// program again after it.
import { parseArgs } from 'node:util';
import {
  createReporter,
  type Disk,
  execute,
  findDisk,
  type Host,
  inspectDisks,
  isIntact,
  MigrateError,
  messageOf,
  type Outcome,
  type Plan,
  planLimitBytes,
  planVersion,
  type Report,
  type Reporter,
  type Step,
  serializeReport,
  stage2LogName,
  stage2ResultName,
  surviveConsole,
} from '@migrate/core';
import { createBundleHost } from './bundle.ts';
import { type LogDriveWriter, writeLogToDrive } from './log-drive-writer.ts';
import { removeSecrets } from './remove-secrets.ts';
import { findLifeboat, rememberPlace, stepsOnBoard, stepsStartedAgain } from './stage2-lifeboat.ts';
import { createStage2Log, type Stage2Log } from './stage2-log.ts';
import { sendStage2Log } from './stage2-network.ts';
import { stepHandlers } from './step-handlers.ts';
import { toolVersion } from './version.ts';

const ramDirectory = '/migrate/ram';
/** What came with the lifeboat's second initramfs. */
const boardedFiles = '/migrate/payload/files';
const initLog = '/run/migrate/init.log';
const kernelLines = 40;
const logDriveDirectory = '/run/migrate/log-drive';
/** What the end of stage 2 waits for a log at the most. */
const logCloseMs = 15_000;
const pointOfNoReturnMarker = '/run/migrate/point-of-no-return';

interface Stage2Arguments {
  readonly planPath: string;
  readonly oldRoot: string;
  readonly oldRootDevice: string;
  readonly isResumed: boolean;
  /** The old boot path has started it past the point of no return: it was cut while it made a lifeboat over files of the old system. */
  readonly isStartedAgain: boolean;
  /** Where on its disk the lifeboat begins that stage 2 was started from, in bytes; absent where the old system started it. */
  readonly boardedAt?: number;
}

async function runStage2(args: Stage2Arguments): Promise<number> {
  const host = createBundleHost();
  const plan = await readPlan(host, args.planPath);
  const log = createStage2Log({
    level: plan.logLevel,
    print: plan.isConsoleQuiet === true ? () => {} : (line) => process.stdout.write(line),
    uptimeSeconds: () => process.uptime(),
    now: () => new Date(),
  });
  const reporter = createReporter({ toolVersion, stage: 2, command: 'stage2', now: () => new Date() });
  if ((await host.status(ramDirectory)) === undefined) await host.makeDirectory(ramDirectory, 0o700);
  const drive = startLogDrive(host, plan, log);
  const sender = await sendStage2Log(host, plan, { log, oldRoot: args.oldRoot, ramDirectory });
  try {
    return await migrate(host, plan, { args, log, reporter });
  } finally {
    // Whatever becomes of them, it changes nothing of the migration's end.
    await Promise.allSettled([drive?.close(logCloseMs), sender?.close(logCloseMs)]);
  }
}

/** Keeps the log on the drive that the plan names, if any. */
function startLogDrive(host: Host, plan: Plan, log: Stage2Log): LogDriveWriter | undefined {
  if (plan.logDrive === undefined) return undefined;
  const writer = writeLogToDrive({
    host,
    drive: plan.logDrive,
    mountPoint: logDriveDirectory,
    say: (level, text) => log.emit({ kind: 'note', level, text }),
  });
  log.attach(writer.sink);
  return writer;
}

interface Run {
  readonly args: Stage2Arguments;
  readonly log: Stage2Log;
  readonly reporter: Reporter;
}

async function migrate(host: Host, plan: Plan, run: Run): Promise<number> {
  const { log, reporter } = run;
  log.emit({ kind: 'note', level: 'info', text: `migrate ${toolVersion} stage 2, plan ${plan.id}` });
  await logInitMessages(host, log);
  const outcome = await carryOut(host, plan, run);
  log.emit({ kind: 'note', level: 'info', text: `peak memory of stage 2: ${await peakMemoryKib(host)} KiB` });
  if (outcome.kind === 'done') {
    const text =
      plan.pointOfNoReturn === undefined
        ? 'rehearsal complete: nothing was flashed, as debug.no_flash asks'
        : 'migration complete';
    log.emit({ kind: 'note', level: 'info', text });
    if (plan.pointOfNoReturn === undefined)
      await leaveWord(host, plan, run, {
        report: reporter.report({ result: 'rehearsed', message: text, plan }),
        isTakenBack: true,
      });
    return 0;
  }
  await logKernelMessages(host, log);
  log.emit({ kind: 'note', level: 'error', text: `stage 2 failed (${outcome.kind}): ${outcome.cause.message}` });
  if (outcome.kind !== 'failed-after-point-of-no-return' && isOldSystemWhole(run.args)) {
    // The marker may be there already where the step behind it could not even begin.
    await host.removeFile(pointOfNoReturnMarker);
    const { message } = outcome.cause;
    await leaveWord(host, plan, run, {
      report: reporter.report({ result: 'gave-way', message, plan }),
      isTakenBack: outcome.kind === 'undone',
    });
  }
  return 1;
}

async function carryOut(host: Host, plan: Plan, { args, log, reporter }: Run): Promise<Outcome> {
  try {
    const target = await findTarget(host, plan, args);
    log.emit({ kind: 'note', level: 'info', text: `the target disk is ${target.path}` });
    let lifeboat = await findLifeboat(host, plan, { ...args, ramDirectory, targetPath: target.path });
    if (!args.isResumed && isOldSystemWhole(args))
      await new Promise((resolve) => setTimeout(resolve, plan.delaySeconds * 1000));
    return await execute({
      steps: stepsOf(plan, args),
      handlers: stepHandlers,
      context: {
        host,
        plan,
        emit: (event) => {
          reporter.observe(event);
          log.emit(event);
        },
        targetPath: target.path,
        ramDirectory,
        oldRoot: args.oldRoot,
        get lifeboat() {
          return lifeboat;
        },
        keepLifeboat: async (record) => {
          lifeboat = record;
          // Before, it is no more than a plan of one.
          if (record.pieces.length > 0) await rememberPlace(host, ramDirectory, record.startByte);
        },
        ...(args.boardedAt === undefined ? {} : { boardedFiles }),
        log: log.bytes,
        report: () => serializeReport(reporter.report({ result: 'migrated', plan })),
      },
      journalPath: `${ramDirectory}/journal.json`,
      passPointOfNoReturn: async () => {
        await host.writeDurable(pointOfNoReturnMarker, new TextEncoder().encode(`${plan.id}\n`), { mode: 0o600 });
        log.emit({ kind: 'note', level: 'info', text: 'point of no return' });
      },
    });
  } catch (thrown) {
    if (!(thrown instanceof MigrateError)) throw thrown;
    return {
      kind: args.isResumed || !isOldSystemWhole(args) ? 'failed-after-point-of-no-return' : 'undone',
      cause: thrown,
    };
  }
}

function stepsOf(plan: Plan, { boardedAt, isStartedAgain }: Stage2Arguments): readonly Step[] {
  if (boardedAt !== undefined) return stepsOnBoard(plan);
  return isStartedAgain ? stepsStartedAgain(plan) : plan.stage2;
}

/** Whether nothing of the old system was overwritten when this run of stage 2 was started; nothing is known of a run before in RAM. */
function isOldSystemWhole({ boardedAt, isStartedAgain }: Stage2Arguments): boolean {
  return boardedAt === undefined && !isStartedAgain;
}

/** The drivers may need a moment after their modules are loaded. */
async function findTarget(host: Host, plan: Plan, args: Stage2Arguments): Promise<Disk> {
  for (let round = 1; ; round += 1) {
    try {
      const disks = await inspectDisks(host);
      // The disk that stage 2 was started from, whatever other disks look like.
      const own = disks.filter(({ partitions }) => partitions.some(({ path }) => path === args.oldRootDevice));
      return findDisk(isOldSystemWhole(args) ? disks : own, plan.target, { ignoreTable: args.isResumed });
    } catch (thrown) {
      if (round >= 10) throw thrown;
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
}

async function readPlan(host: Host, path: string): Promise<Plan> {
  const text = new TextDecoder().decode(await host.readFile(path, { limitBytes: planLimitBytes }));
  const plan = JSON.parse(text) as Plan;
  if (plan.version !== planVersion || plan.toolVersion !== toolVersion) {
    throw new MigrateError('unsupported', `${path} was made by migrate ${plan.toolVersion}, this is ${toolVersion}`);
  }
  if (!isIntact(plan)) throw new MigrateError('verify-mismatch', `${path} was changed since stage 1 wrote it`);
  return plan;
}

interface Word {
  readonly report: Report;
  /** Nothing can start the lifeboat, which would need its secrets. */
  readonly isTakenBack: boolean;
}

/** Leaves log and reason on the old system, which boots next. Failing to do so must not hide the failure itself. */
async function leaveWord(host: Host, plan: Plan, { args, log }: Run, { report, isTakenBack }: Word): Promise<void> {
  try {
    const mounted = ((await host.readText('/proc/self/mountinfo')) ?? '').includes(` ${args.oldRoot} `);
    if (mounted) await host.unmount(args.oldRoot);
    await host.mount({
      source: args.oldRootDevice,
      target: args.oldRoot,
      fileSystem: plan.payloadFileSystem.type,
      options: ['rw'],
    });
    const say = (text: string): void => log.emit({ kind: 'note', level: 'warn', text });
    if (isTakenBack) await removeSecrets(host, plan, { root: args.oldRoot, say });
    const directory = `${args.oldRoot}${plan.stateDirectoryInFileSystem}`;
    await host.writeDurable(`${directory}/${stage2LogName}`, log.bytes(), { mode: 0o600 });
    await host.writeDurable(`${directory}/${stage2ResultName}`, serializeReport(report), { mode: 0o600 });
    await host.unmount(args.oldRoot);
  } catch (thrown) {
    process.stdout.write(`the log could not be saved on the old system: ${messageOf(thrown)}\n`);
  }
}

/** What init has said on the console before. */
async function logInitMessages(host: Host, log: Stage2Log): Promise<void> {
  for (const line of ((await host.readText(initLog)) ?? '').split('\n'))
    if (line !== '') log.emit({ kind: 'note', level: 'info', text: `init: ${line}` });
}

/** The kernel knows more of a disk that fails than the error that a write ends with. */
async function logKernelMessages(host: Host, log: Stage2Log): Promise<void> {
  try {
    const { stdout } = await host.run('dmesg', [], { timeoutMs: 5000 });
    for (const line of stdout.trimEnd().split('\n').slice(-kernelLines))
      log.emit({ kind: 'note', level: 'info', text: `kernel: ${line}` });
  } catch (thrown) {
    log.emit({ kind: 'note', level: 'warn', text: `the kernel's messages cannot be read: ${messageOf(thrown)}` });
  }
}

/** High-water mark of resident memory (proc(5), VmHWM). */
async function peakMemoryKib(host: Host): Promise<number> {
  return Number(/^VmHWM:\s+(\d+) kB/m.exec((await host.readText('/proc/self/status')) ?? '')?.[1] ?? 0);
}

function parseArguments(argv: readonly string[]): Stage2Arguments {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      plan: { type: 'string' },
      'old-root': { type: 'string' },
      'old-root-device': { type: 'string' },
      resume: { type: 'boolean', default: false },
      'lifeboat-start': { type: 'string' },
      'started-again': { type: 'boolean', default: false },
    },
  });
  const { plan, resume } = values;
  if (plan === undefined || values['old-root'] === undefined || values['old-root-device'] === undefined) {
    throw new MigrateError('invalid-input', 'stage 2 needs --plan, --old-root and --old-root-device');
  }
  const start = values['lifeboat-start'];
  return {
    planPath: plan,
    oldRoot: values['old-root'],
    oldRootDevice: values['old-root-device'],
    isResumed: resume,
    isStartedAgain: values['started-again'],
    ...(start === undefined ? {} : { boardedAt: Number(start) }),
  };
}

surviveConsole();
let exitCode = 1;
try {
  exitCode = await runStage2(parseArguments(process.argv.slice(2)));
} catch (thrown) {
  process.stdout.write(
    `stage 2 failed: ${thrown instanceof MigrateError ? thrown.message : `this is a bug: ${thrown instanceof Error ? thrown.stack : thrown}`}\n`,
  );
}
// Not left to Node: a log drive or a network that hangs must not keep the machine from restarting.
process.exit(exitCode);
