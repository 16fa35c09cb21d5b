// The three files out of which apps.json can come.
import type { InjectedImage } from '../apps/check-images.ts';
import { type AppIdentity, appsFromCompose } from '../apps/from-compose.ts';
import { appsFromTargetState } from '../apps/from-target-state.ts';
import { type ParsedApps, parseAppsJson } from '../apps/parse-apps-json.ts';

export interface AppsInput extends AppIdentity {
  readonly kind: 'apps' | 'compose' | 'target-state';
  readonly fileName: string;
  readonly text: string;
  readonly deviceUuid?: string;
  /** Keep the device on this release whatever its fleet runs. */
  readonly pinDevice?: boolean;
  /** Whether the services of a compose file start by themselves; default true. */
  readonly running?: boolean;
}

/** `images`: all that the engine will have. */
export function readAppsInput(input: AppsInput, images: readonly InjectedImage[]): ParsedApps {
  switch (input.kind) {
    case 'apps': {
      const parsed = parseAppsJson(input.text, input.fileName, input);
      const pinned =
        input.pinDevice === true && parsed.apps !== undefined ? { ...parsed.apps, pinDevice: true } : undefined;
      return pinned === undefined ? parsed : { ...parsed, apps: pinned };
    }
    case 'compose':
      return appsFromCompose(input.text, input.fileName, { ...input, images });
    case 'target-state':
      return appsFromTargetState(input.text, input.fileName, input);
  }
}
