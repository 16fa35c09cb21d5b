import type { StepHandlers } from '@migrate/core';
import { payloadSteps } from './payload-partition.ts';
import { bootManagerSteps } from './replace-boot-manager.ts';
import { resizeSteps } from './resize-partition.ts';
import { bootNextSteps } from './set-boot-next.ts';

export const windowsSteps: Pick<
  StepHandlers,
  | 'resize-windows-partition'
  | 'create-payload-partition'
  | 'on-payload-partition'
  | 'set-uefi-boot-next'
  | 'replace-windows-boot-manager'
> = { ...resizeSteps, ...payloadSteps, ...bootNextSteps, ...bootManagerSteps };
