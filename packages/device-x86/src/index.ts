export * from './grub.ts';
export * from './grub-menu.ts';
export * from './pc.ts';
export * from './steps-grub.ts';
