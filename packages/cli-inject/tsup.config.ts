import { bundle } from '../../tsup.bundle.ts';

// biome-ignore lint/style/noDefaultExport: tsup reads its configuration from there
export default bundle({ inject: 'src/main.ts' });
