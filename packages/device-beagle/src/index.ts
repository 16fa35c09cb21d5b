export * from './beagles.ts';
export * from './boards.ts';
export { boardOf } from './boot-medium.ts';
export * from './boot-script.ts';
export * from './extlinux-conf.ts';
export * from './steps-uboot.ts';
export * from './u-boot-image.ts';
export * from './uboot.ts';
export * from './uenv-txt.ts';
