export * from './cmdline-txt.ts';
export * from './config-txt.ts';
export * from './evaluate-config.ts';
export * from './firmware-boot.ts';
export * from './models.ts';
export * from './raspberry-pi.ts';
export * from './select-boot-files.ts';
export * from './steps-rpi.ts';
