// Where things lie on the payload's partition.

/** Where stage 2 also leaves word. */
export const payloadState = '/balena-migrate';
export const payloadDirectory = `${payloadState}/payload`;
export const payloadFiles = `${payloadDirectory}/files`;
export const kernelPath = `${payloadState}/boot/vmlinuz`;
export const initramfsPath = `${payloadState}/boot/stage2.img`;
/** What is only for the lifeboat. */
export const lifeboatFiles = `${payloadState}/lifeboat`;
