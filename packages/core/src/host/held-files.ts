// Files of Windows that another program has open for a moment, as programs against viruses do with every new one.
import { setTimeout as pause } from 'node:timers/promises';
import { isSystemError } from '../error.ts';

/** What renaming and removing say of such a file (libuv's names of ERROR_ACCESS_DENIED and ERROR_SHARING_VIOLATION). */
const heldCodes = ['EPERM', 'EACCES', 'EBUSY'];

export interface Patience {
  readonly platform: NodeJS.Platform;
  /** How long it is tried at the least. */
  readonly limitMs: number;
  /** Between two tries. */
  readonly pauseMs: number;
}

const usual: Omit<Patience, 'platform'> = { limitMs: 5000, pauseMs: 100 };

/** Renames or removes a file; on Windows again and again while somebody holds it. Throws what `act` throws in the end. */
export async function onceReleased<T>(act: () => Promise<T>, patience: Partial<Patience> = {}): Promise<T> {
  const { platform, limitMs, pauseMs } = { platform: process.platform, ...usual, ...patience };
  for (let waitedMs = 0; ; waitedMs += pauseMs) {
    try {
      return await act();
    } catch (thrown) {
      const isHeld = platform === 'win32' && isSystemError(thrown) && heldCodes.includes(thrown.code);
      if (!isHeld || waitedMs >= limitMs) throw thrown;
    }
    await pause(pauseMs);
  }
}
