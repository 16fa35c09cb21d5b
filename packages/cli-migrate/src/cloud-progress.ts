import { type Config, type Emit, type HostReader, MigrateError, reportProvisioning } from '@migrate/core';
import { findCloudAccess, type OpenHttp, openHttp } from './connected.ts';

/** What the dashboard shows; stage 2 has no network, so that the next word comes from the new system. */
export const progressWords = {
  preparing: { progress: 10, state: 'Preparing the migration to balenaOS' },
  restarting: { progress: 50, state: 'Restarting to write balenaOS' },
  failed: { progress: 0, state: 'The migration failed; the old system runs' },
} as const;

export type ReportProgress = (word: keyof typeof progressWords) => Promise<void>;

/** Does what `balena.api.report_progress` asks for; a dashboard that cannot be reached stops nothing. */
export async function cloudProgress(
  host: HostReader,
  { config, workDirectory, emit }: { config: Config; workDirectory: string; emit: Emit },
  open: OpenHttp = openHttp,
): Promise<ReportProgress> {
  if (!config.balena.api.reportProgress) return async () => {};
  const { access } = await findCloudAccess(host, config, workDirectory);
  if (access?.uuid === undefined) {
    const text =
      'balena.api.report_progress takes a config.json with uuid and deviceApiKey: nothing is shown in the dashboard';
    emit({ kind: 'note', level: 'warn', text });
    return async () => {};
  }
  const context = { http: open(access), access, timeoutMs: 5000 };
  return async (word) => {
    try {
      await reportProvisioning(context, progressWords[word]);
    } catch (thrown) {
      if (!(thrown instanceof MigrateError)) throw thrown;
      emit({ kind: 'note', level: 'warn', text: `the dashboard was not told: ${thrown.message}` });
    }
  };
}
