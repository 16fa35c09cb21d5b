import {
  configureSteps,
  fileSteps,
  networkSteps,
  reserveSteps,
  type StepHandlers,
  sealSteps,
  stage2Steps,
  uefiSteps,
} from '@migrate/core';
import { beagleSteps } from '@migrate/device-beagle';
import { rpiSteps } from '@migrate/device-rpi';
import { grubSteps } from '@migrate/device-x86';
import { archiveSteps, backupSteps, fillSteps, imageSteps, lifeboatSteps } from '@migrate/image-tools';
import { windowsSteps } from '@migrate/windows-efi';

/** Every kind of step with the code that carries it out; a kind left out does not compile. */
export const stepHandlers: StepHandlers = {
  ...fileSteps,
  ...networkSteps,
  ...backupSteps,
  ...grubSteps,
  ...rpiSteps,
  ...beagleSteps,
  ...windowsSteps,
  ...stage2Steps,
  ...uefiSteps,
  ...imageSteps,
  ...lifeboatSteps,
  ...reserveSteps,
  ...sealSteps,
  ...fillSteps,
  ...archiveSteps,
  ...configureSteps,
};
