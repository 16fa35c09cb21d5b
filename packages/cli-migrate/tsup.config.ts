import { bundle } from '../../tsup.bundle.ts';

// biome-ignore lint/style/noDefaultExport: tsup reads its configuration from there
export default bundle({ migrate: 'src/main.ts', stage2: 'src/stage2.ts' });
