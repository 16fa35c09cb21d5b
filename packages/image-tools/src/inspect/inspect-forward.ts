import type { OpenedImage } from '../open/open-image.ts';
import { type Inspection, inspectImage } from './inspect-image.ts';

/** Inspects an image as its stream passes; only a flasher image has to be unpacked to a file. */
export async function inspectForward(opened: OpenedImage): Promise<Inspection> {
  const forward = opened.forward();
  try {
    return await inspectImage(forward);
  } finally {
    await forward.close();
  }
}
