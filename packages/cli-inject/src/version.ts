/** Version of this tool. */
export const toolVersion = '0.1.0';
