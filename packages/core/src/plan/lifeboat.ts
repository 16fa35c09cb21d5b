// What a plan says of a lifeboat: a copy of stage 2 and all that it needs, on the target disk behind the last byte of the image,
// which the firmware can boot by one sector.

/** The sector that makes the firmware boot the lifeboat. */
export type LifeboatSwitch =
  /** Sector 0 with boot code that starts a core image in the lifeboat, and a table with the lifeboat as partition 4. */
  | { readonly kind: 'mbr'; readonly bootImage: string; readonly coreImage: string }
  /** The header of a GPT whose only partition is the lifeboat, an EFI system partition. */
  | { readonly kind: 'gpt'; readonly partitionGuid: string };

/** A file of the lifeboat, by its path without a slash before it. */
export type LifeboatFile =
  | { readonly path: string; readonly from: string }
  | { readonly path: string; readonly text: string };

/** How a boot manager's firmware boots a lifeboat. */
export interface LifeboatBoot {
  readonly files: readonly LifeboatFile[];
  readonly switch: LifeboatSwitch;
}
